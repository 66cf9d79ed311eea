// What people say of a job, to be changed: whose it is, a note, labels.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icon.js";

/** As the coordinator takes them. */
const MAX_WORD = 100;
const MAX_NOTE = 4000;
const MAX_LABELS = 32;

/** `onSave` gets what has changed alone, as PATCH takes it; nothing when that is nothing. */
export function AboutDialog({ job, onSave, onClose }) {
  const [owner, setOwner] = useState(job.owner || "");
  const [note, setNote] = useState(job.note || "");
  const numbers = useRef(0);
  const line = (name, value) => ({ key: (numbers.current += 1), name, value });
  const [labels, setLabels] = useState(() => Object.entries(job.labels || {}).map(([name, value]) => line(name, value)));
  const change = (key, part) => setLabels(labels.map((each) => (each.key === key ? { ...each, ...part } : each)));
  const save = (event) => {
    event.preventDefault();
    const news = changed(job, owner.trim(), note.trim(), labels);
    onClose();
    if (Object.keys(news).length) onSave(news);
  };
  return html`<${Dialog} title="Describe the job" onClose=${onClose}>
    <form class="about-form" onSubmit=${save}>
      <label>Owner<input class="input" id="about-owner" value=${owner} maxlength=${MAX_WORD} onInput=${(event) => setOwner(event.target.value)} /></label>
      <label>Note<textarea class="input" id="about-note" rows="4" maxlength=${MAX_NOTE} value=${note} onInput=${(event) => setNote(event.target.value)}></textarea></label>
      <fieldset><legend>Labels</legend>
        ${labels.map((each, at) => html`<div key=${each.key} class="about-label">
          <input class="input" aria-label="Name of label ${at + 1}" placeholder="shot" value=${each.name} maxlength=${MAX_WORD} pattern="[A-Za-z0-9._\\-]+" title="Letters, digits, dots, dashes and _" onInput=${(event) => change(each.key, { name: event.target.value })} />
          <input class="input" aria-label="Value of label ${at + 1}" placeholder="010" value=${each.value} maxlength=${MAX_WORD} onInput=${(event) => change(each.key, { value: event.target.value })} />
          <button type="button" class="button small quiet icon-only" aria-label="Remove label ${at + 1}" onClick=${() => setLabels(labels.filter((other) => other !== each))}><${Icon} name="close" /></button>
        </div>`)}
        ${labels.length < MAX_LABELS && html`<button type="button" class="button small" onClick=${() => setLabels([...labels, line("", "")])}><${Icon} name="plus" />Add a label</button>`}
      </fieldset>
      <div class="dialog-actions"><button type="button" class="button" onClick=${onClose}>Keep</button><button class="button primary">Save</button></div>
    </form>
  <//>`;
}

/** What is said otherwise than before; what is said no more is null. */
function changed(job, owner, note, labels) {
  const news = {};
  if (owner !== (job.owner || "")) news.owner = owner || null;
  if (note !== (job.note || "")) news.note = note || null;
  const before = job.labels || {};
  const after = Object.fromEntries(labels.map(({ name, value }) => [name.trim(), value.trim()]).filter(([name, value]) => name && value));
  const names = Object.keys({ ...before, ...after }).filter((name) => before[name] !== after[name]);
  if (names.length) news.labels = Object.fromEntries(names.map((name) => [name, after[name] ?? null]));
  return news;
}
