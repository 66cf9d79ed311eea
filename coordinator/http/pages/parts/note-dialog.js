// What people say of a worker, to be changed.

import { html, useState } from "../vendor/htm-preact.js";
import { Dialog } from "./dialog.js";

/** As the coordinator takes it. */
const MAX_NOTE = 4000;

/** `onSave` gets the note, or null when nothing is said any more; it is not called when that is as before. */
export function NoteDialog({ worker, onSave, onClose }) {
  const before = worker.note || "";
  const [note, set] = useState(before);
  const save = (event) => {
    event.preventDefault();
    onClose();
    if (note.trim() !== before) onSave(note.trim() || null);
  };
  return html`<${Dialog} title="Note on ${worker.name}" onClose=${onClose}>
    <form class="about-form" onSubmit=${save}>
      <label>Note<textarea class="input" id="worker-note" rows="4" maxlength=${MAX_NOTE} value=${note} onInput=${(event) => set(event.target.value)}></textarea></label>
      <div class="dialog-actions"><button type="button" class="button" onClick=${onClose}>Keep</button><button class="button primary">Save</button></div>
    </form>
  <//>`;
}
