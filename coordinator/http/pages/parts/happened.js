// What happened, line by line, in words.

import { html } from "../vendor/htm-preact.js";
import { clock, fullMoment } from "../format.js";

/** Of each type: what is said of it, and how it looks. */
const WORDS = {
  "job.submitted": ["was queued", "rest"],
  "job.planned": ["is planned", "rest"],
  "job.paused": ["was paused", "warn"],
  "job.prioritised": ["has another priority", "rest"],
  "job.resumed": ["goes on", "work"],
  "job.suspended": ["is paused by the coordinator", "bad"],
  "job.retried": ["is taken up again", "work"],
  "job.ended": ["ended", "good"],
  "job.described": ["is described otherwise", "rest"],
  "job.forgotten": ["was forgotten", "rest"],
  "video.done": ["is done", "good"],
  "video.suspect": ["does not look right", "warn"],
  "video.failed": ["failed", "bad"],
  "video.cancelled": ["was cancelled", "rest"],
  "video.retried": ["is taken up again", "work"],
  "attempt.failed": ["failed at", "warn"],
  "attempt.lost": ["was lost with", "warn"],
  "worker.joined": ["joined", "work"],
  "worker.lost": ["was lost", "bad"],
  "worker.left": ["left", "rest"],
  "worker.drained": ["gets no more work", "warn"],
  "worker.enabled": ["gets work again", "work"],
  "worker.set_aside": ["was set aside", "bad"],
  "worker.assigned": ["has other roles", "rest"],
  "worker.described": ["is described otherwise", "rest"],
  "worker.forgotten": ["was forgotten", "rest"],
};

export function Happened({ events, of }) {
  return html`<ol class="happened">${events.map((event) => html`<li key=${event.id}><${Line} event=${event} of=${of} /></li>`)}</ol>`;
}

/** `of` is the job that the list is of, which then is not named in every line. */
export function Line({ event, of }) {
  const [words, tone] = WORDS[event.type] || [event.type, "rest"];
  const { before, after } = event;
  const change = before && after && before !== after ? `${before} → ${after}` : null;
  const rest = [change, event.detail, event.by && `by ${event.by}`].filter(Boolean).join(" · ");
  return html`<time datetime=${event.at} title=${fullMoment(event.at)}>${clock(new Date(event.at))}</time><span class="state" data-tone=${tone}><i class="dot"></i></span>
    <span class="happened-words"><${Who} event=${event} of=${of} /> ${words}${event.type.startsWith("attempt.") ? html` <b>${event.name}</b>` : ""}${rest && html` <span class="muted">· ${rest}</span>`}</span>`;
}

function Who({ event, of }) {
  const { job, video, name } = event;
  if (event.type.startsWith("worker.")) return html`<a href="/machines?q=${encodeURIComponent(name || "")}">${name || "A worker"}</a>`;
  const gone = event.type === "job.forgotten";
  const title = event.type.startsWith("attempt.") ? null : name;
  if (video != null) return html`<a href="/jobs/${job}/videos/${video}">Video ${of ? video : `${job}/${video}`}</a>`;
  if (of) return html`<b>The job</b>`;
  return gone ? html`<b>${title || `Job ${job}`}</b>` : html`<a href="/jobs/${job}">${title || `Job ${job}`}</a>`;
}
