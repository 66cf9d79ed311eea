// What is pointed at on the timeline, in words.

import { html } from "../vendor/htm-preact.js";
import { clock, duration } from "../format.js";
import { reason } from "../idle.js";
import { stageName } from "../words.js";

export function Readout({ rows, chosen, now }) {
  const line = chosen && rows.find((row) => row.id === chosen.worker);
  if (!line) return html`<p class="gantt-readout muted">Point at a bar, or use the arrow keys.</p>`;
  const { attempt } = chosen;
  return html`<p class="gantt-readout"><b>${line.name}</b> ${attempt ? html`<a href="/jobs/${attempt.job}/videos/${attempt.video}">Video ${attempt.job}/${attempt.video}</a> ${facts(attempt, now, line.running).join(" · ")}` : html`<span class="muted">${idle(line, chosen.gap)}</span>`}</p>`;
}

/** The same for a screen reader. */
export function wordsOf(line, attempt, now) {
  return attempt ? `${line.name}, video ${attempt.video} of job ${attempt.job}, ${facts(attempt, now, line.running).join(", ")}` : `${line.name}, nothing computed`;
}

export const RESULTS = { done: "done", failed: "failed", revoked: "given back", lost: "worker lost" };

export function steps(attempt) {
  return attempt.first_step == null ? "" : `steps ${attempt.first_step + 1} to ${attempt.last_step + 1}`;
}

function facts(attempt, now, running) {
  const open = attempt.result == null;
  const at = open && running?.video === `${attempt.job}/${attempt.video}` && running.steps > 0 && attempt.stage.startsWith("denoise");
  const seconds = open ? (now - attempt.from) / 1000 : attempt.seconds;
  return [
    stageName(attempt.stage),
    at ? `step ${running.steps_done} of ${running.steps}` : steps(attempt),
    `${clock(new Date(attempt.from))} to ${open ? "now" : clock(new Date(attempt.to))}, ${duration(Math.max(0, seconds))}`,
    open ? "running" : RESULTS[attempt.result] || attempt.result,
    attempt.error,
  ].filter(Boolean);
}

function idle(line, gap) {
  const why = reason(gap.at, gap.next, line.away);
  if (gap.from == null || gap.to == null) return why;
  return `${why}, ${clock(new Date(gap.from))} to ${clock(new Date(gap.to))}, ${duration((gap.to - gap.from) / 1000)}`;
}
