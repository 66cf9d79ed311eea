// One video of a job as a row of figures.

import { html } from "../vendor/htm-preact.js";
import { duration } from "../format.js";
import { memo } from "../memo.js";
import { isSuspect, whereItStands } from "../words.js";
import { Meter } from "./progress.js";
import { State } from "./state.js";
import { leftWords } from "./picture.js";

export const VideoRow = memo(({ job, video, picked, active, onPick, position }) => {
  const pick = (event) => onPick(video.index, event.shiftKey);
  const steps = video.steps || 0;
  return html`<div class="table-row videos-grid" role="row" aria-rowindex=${position + 2} data-picked=${picked ? "" : undefined}>
    <span role="cell"><label class="pick"><input type="checkbox" checked=${picked} tabindex="-1" onClick=${pick} aria-label="Select video ${video.index}" /></label></span>
    <span role="cell" class="number muted medium">${video.index}</span>
    <span role="cell"><a href="/jobs/${job}/videos/${video.index}" tabindex=${active ? 0 : -1} data-focus=${video.index}>${video.prompt || "No prompt"}</a></span>
    <span role="cell" class="stack">
      <${State} state=${video.state} label=${isSuspect(video) && video.state === "done" ? `done, ${video.verdict}` : whereItStands(video).toLowerCase()} />
      ${video.state === "running" && steps > 0 && html`<${Meter} value=${video.steps_done} max=${steps} label="${video.steps_done} of ${steps} steps" />`}
    </span>
    <span role="cell" class="muted medium">${video.worker || ""}</span>
    <span role="cell" class="number muted wide">${video.state === "done" ? duration(video.seconds) : leftWords(video) || ""}</span>
    <span role="cell" class="number wide ${isSuspect(video) ? "warn" : "muted"}">${video.verdict || ""}</span>
  </div>`;
});

/** The names of the columns, and whose order the rows are in. */
export function VideoHead({ sort, onSort }) {
  const column = (key, name, extra = "") => html`<span role="columnheader" class=${extra} aria-sort=${sort === key ? "ascending" : sort === `-${key}` ? "descending" : undefined}>
    <button onClick=${() => onSort(key)}>${name}${sort === key ? " ↑" : sort === `-${key}` ? " ↓" : ""}</button></span>`;
  return html`<div class="table-row table-head videos-grid" role="row" aria-rowindex="1">
    <span role="columnheader"><span class="visually-hidden">Selected</span></span>
    ${column("index", "#", "number medium")}${column("prompt", "Prompt")}${column("state", "State")}${column("worker", "Worker", "medium")}${column("seconds", "Time", "number wide")}${column("verdict", "Verdict", "number wide")}
  </div>`;
}
