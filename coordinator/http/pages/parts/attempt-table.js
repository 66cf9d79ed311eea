// The timeline as a table, the newest attempt first: for screen readers, and for reading off figures.

import { html, useCallback, useMemo } from "../vendor/htm-preact.js";
import { duration, fullMoment } from "../format.js";
import { stageName } from "../words.js";
import { RESULTS, steps } from "./readout.js";
import { Virtual } from "./virtual.js";

const ROW = 44;

export function AttemptTable({ rows }) {
  const attempts = useMemo(() => rows.flatMap((line) => line.attempts.map((attempt) => ({ ...attempt, worker_name: line.name }))).sort((a, b) => b.from - a.from), [rows]);
  const draw = useCallback((at) => {
    const attempt = attempts[at];
    const result = attempt.result == null ? "running" : RESULTS[attempt.result] || attempt.result;
    return html`<div class="table-row attempts-grid" role="row" aria-rowindex=${at + 2}>
      <span role="cell">${attempt.worker_name}</span>
      <span role="cell"><a href="/jobs/${attempt.job}/videos/${attempt.video}">${attempt.job}/${attempt.video}</a></span>
      <span role="cell">${stageName(attempt.stage)}</span>
      <span role="cell" class="medium muted">${steps(attempt) || "–"}</span>
      <span role="cell" class="wide muted">${fullMoment(attempt.begun)}</span>
      <span role="cell" class="number medium">${attempt.result == null ? "" : duration(attempt.seconds)}</span>
      <span role="cell" class=${result === "done" || result === "running" ? "muted" : "warn"} title=${attempt.error}>${result}</span>
    </div>`;
  }, [attempts]);
  if (!attempts.length) return html`<p class="muted nothing">Nothing was computed in this time.</p>`;
  return html`<div class="table" role="table" aria-label="Attempts" aria-rowcount=${attempts.length + 1}>
    <div class="table-row table-head attempts-grid" role="row" aria-rowindex="1">
      <span role="columnheader">Worker</span><span role="columnheader">Video</span><span role="columnheader">Stage</span><span role="columnheader" class="medium">Steps</span><span role="columnheader" class="wide">Begun</span><span role="columnheader" class="number medium">Time</span><span role="columnheader">Result</span>
    </div>
    <${Virtual} role="rowgroup" rows=${attempts.length} height=${ROW} draw=${draw} />
  </div>`;
}
