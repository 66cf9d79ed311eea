// What people say of a worker, to be changed.

import { html, useState } from "../vendor/htm-preact.js";
import { path, send } from "../api.js";
import { resource } from "../store.js";
import { Dialog } from "./dialog.js";
import { attempt } from "./toast.js";

/** As the coordinator takes it. */
const MAX_NOTE = 4000;

export function NoteDialog({ worker, onClose }) {
  const before = worker.note || "";
  const [note, set] = useState(before);
  const save = (event) => {
    event.preventDefault();
    onClose();
    if (note.trim() === before) return;
    const saved = send("PATCH", "/workers/{}", [worker.id], { note: note.trim() || null });
    attempt(saved, `${worker.name} is described otherwise`).then((well) => well && resource(path("workers")).touch());
  };
  return html`<${Dialog} title="Note on ${worker.name}" onClose=${onClose}>
    <form class="about-form" onSubmit=${save}>
      <label>Note<textarea class="input" id="worker-note" rows="4" maxlength=${MAX_NOTE} value=${note} onInput=${(event) => set(event.target.value)}></textarea></label>
      <div class="dialog-actions"><button type="button" class="button" onClick=${onClose}>Keep</button><button class="button primary">Save</button></div>
    </form>
  <//>`;
}
