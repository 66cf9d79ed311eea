// Questions before what cannot be undone, and what else needs a window of its own.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";

/** A modal window; Escape and a click beside it close it. */
export function Dialog({ title, wide, onClose, children }) {
  const ref = useRef(null);
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => before?.focus?.();
  }, []);
  const outside = (event) => event.target === ref.current && onClose();
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${ref} class=${wide ? "dialog wide-dialog" : "dialog"} aria-labelledby="dialog-title" onClick=${outside} onCancel=${cancel}>
    <div class="dialog-body">
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </div>
  </dialog>`;
}

/** Asks whether to do it. */
export function Confirm({ title, text, action, danger, onYes, onClose }) {
  const yes = () => {
    onClose();
    onYes();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${text}</p>
    <div class="dialog-actions">
      <button class="button" onClick=${onClose}>Keep</button>
      <button class=${danger ? "button danger" : "button primary"} onClick=${yes}>${action}</button>
    </div>
  <//>`;
}
