// How a video came about: its attempts in time, one bar each, with who computed it and how it ended.

import { html } from "../vendor/htm-preact.js";
import { duration, fullMoment, plural } from "../format.js";
import { stageName } from "../words.js";

export function Attempts({ attempts }) {
  const timed = attempts.filter((attempt) => attempt.begun && attempt.seconds != null);
  if (!timed.length) return null;
  const begins = timed.map((attempt) => new Date(attempt.begun).getTime());
  const first = Math.min(...begins);
  const last = Math.max(...timed.map((attempt, at) => begins[at] + attempt.seconds * 1000));
  const span = Math.max(1, last - first);
  return html`<ol class="track">
    ${timed.map((attempt, at) => html`<li key=${at}>
      <span>${stageName(attempt.stage)}</span>
      <span class="lane-bar" title=${fullMoment(attempt.begun)}><i style=${{ "--stage": `var(--stage-${attempt.stage})`, left: `${((begins[at] - first) / span) * 100}%`, width: `${((attempt.seconds * 1000) / span) * 100}%` }}></i></span>
      <span class="said ${attempt.result && attempt.result !== "done" ? "warn" : ""}">${said(attempt)}</span>
    </li>`)}
  </ol>`;
}

function said(attempt) {
  const steps = attempt.first_step != null ? `steps ${attempt.first_step + 1} to ${attempt.last_step + 1}` : null;
  const queued = attempt.queue_seconds >= 1 ? `queued ${duration(attempt.queue_seconds)}` : null;
  const ended = attempt.result && attempt.result !== "done" ? attempt.result : null;
  return [attempt.worker, steps, duration(attempt.seconds), queued, ended].filter(Boolean).join(" · ");
}

/** `12 attempts on 3 workers`. */
export function attemptWords(attempts) {
  const workers = new Set(attempts.map((attempt) => attempt.worker)).size;
  return `${plural(attempts.length, "attempt")} on ${plural(workers, "worker")}`;
}
