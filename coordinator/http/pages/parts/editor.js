// A manifest as text, with line numbers, and the lines with faults marked.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";

/** `faults` are lines, from 1; `goTo` is a place to put the cursor, new each time. */
export function Editor({ text, onText, onDrop, faults, goTo }) {
  const area = useRef(null);
  const box = useRef(null);
  const lines = text.split("\n");
  const marked = new Set(faults);

  useEffect(() => {
    // As high as its text: the box around it scrolls, and the numbers with it.
    const field = area.current;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }, [text]);
  useEffect(() => {
    if (!goTo) return;
    const before = lines.slice(0, goTo.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
    const field = area.current;
    field.focus({ preventScroll: true });
    field.setSelectionRange(before + Math.max(0, (goTo.column || 1) - 1), before + (lines[goTo.line - 1]?.length || 0));
    const line = field.scrollHeight / Math.max(1, lines.length);
    box.current.scrollTop = Math.max(0, (goTo.line - 4) * line);
  }, [goTo]);

  const over = (on) => (event) => {
    event.preventDefault();
    event.currentTarget.toggleAttribute("data-over", on);
  };
  const drop = (event) => {
    over(false)(event);
    onDrop([...event.dataTransfer.files]);
  };
  return html`<div class="card editor" onDragOver=${over(true)} onDragLeave=${over(false)} onDrop=${drop}>
    <div class="editor-body" ref=${box}>
      <div class="editor-lines" aria-hidden="true">${lines.map((_, at) => html`<i key=${at} data-fault=${marked.has(at + 1) ? "" : undefined}>${at + 1}</i>`)}</div>
      <textarea ref=${area} value=${text} onInput=${(event) => onText(event.target.value)} spellcheck=${false} autocomplete="off" autocapitalize="off" wrap="off"
        aria-label="Manifest" placeholder="Drop a manifest here, or paste it" aria-invalid=${marked.size ? "true" : undefined}></textarea>
    </div>
  </div>`;
}
