// A worker in detail: what is said of it, and how fast it was over the night.

import { html, useState } from "../vendor/htm-preact.js";
import { clock, plural, trim } from "../format.js";
import { usePaceHistory } from "../pace-history.js";
import { stageName } from "../words.js";
import { Dialog } from "./dialog.js";
import { NoteDialog } from "./note-dialog.js";
import { Sparkline } from "./sparkline.js";
import { State } from "./state.js";

/** A worker's name, which opens what there is to know of it. */
export function WorkerName({ worker }) {
  const [open, set] = useState(null);
  const close = () => set(null);
  return html`<button class="name-button name" onClick=${() => set("details")} aria-label="Details of ${worker.name}" title="Details">${worker.name}</button>
    ${open === "details" && html`<${WorkerDialog} worker=${worker} onNote=${() => set("note")} onClose=${close} />`}
    ${open === "note" && html`<${NoteDialog} worker=${worker} onClose=${close} />`}`;
}

function WorkerDialog({ worker, onNote, onClose }) {
  const facts = [worker.device, worker.host, worker.version && `version ${worker.version}`, worker.detail].filter(Boolean);
  return html`<${Dialog} title=${worker.name} onClose=${onClose}>
    <p class="facts"><${State} state=${worker.state} />${facts.map((fact) => html`<span key=${fact}>${fact}</span>`)}</p>
    ${worker.note && html`<p class="note">${worker.note}</p>`}
    <h3>Pace</h3>
    <${History} worker=${worker.id} />
    <div class="dialog-actions"><button class="button quiet" onClick=${onNote}>${worker.note ? "Change the note" : "Write a note"}</button><button class="button" onClick=${onClose}>Close</button></div>
  <//>`;
}

function History({ worker }) {
  const value = usePaceHistory(worker);
  if (!value) return html`<p class="small">Asking for its attempts …</p>`;
  if (value.problem) return html`<p class="small bad">${value.problem.message}</p>`;
  const since = value.hours === 1 ? "the last hour" : `the last ${value.hours} hours`;
  if (!value.stages.length) return html`<p class="small">It has computed nothing in ${since}.</p>`;
  return html`<p class="small">Each attempt of ${since}, whatever the size of its video; lower is faster.</p>
    ${value.stages.map((stage) => html`<${Stage} key=${stage.stage} ...${stage} />`)}`;
}

function Stage({ stage, points, median, least, most, last, hours }) {
  const unit = stage.startsWith("denoise") ? "s/step" : "s/item";
  const words = `median ${trim(median)}, from ${trim(least)} to ${trim(most)}, last ${trim(last)} ${unit}`;
  return html`<div class="pace-history">
    <div class="pace-history-head"><b>${stageName(stage)}</b><span class="small muted">${words}</span></div>
    <${Sparkline} points=${points} most=${most} stage=${stage} />
    <div class="visually-hidden"><table><caption>${stageName(stage)} by the hour</caption>
      <thead><tr><th scope="col">Hour</th><th scope="col">Median, ${unit}</th><th scope="col">Attempts</th></tr></thead>
      <tbody>${hours.map((hour) => html`<tr key=${hour.at}><th scope="row">${clock(new Date(hour.at))}</th><td>${trim(hour.median)}</td><td>${hour.of}</td></tr>`)}</tbody>
    </table></div>
    <div class="pace-history-head small muted"><span>${clock(new Date(points[0].at))}</span><span>${plural(points.length, "attempt")}</span><span>${clock(new Date(points.at(-1).at))}</span></div>
  </div>`;
}
