// What needs a person: workers that are gone or set aside, jobs that wait, files that could not be written.

import { html } from "../vendor/htm-preact.js";
import { plural } from "../format.js";
import { isEnd, jobTitle } from "../words.js";
import { Icon } from "./icon.js";

/** Of one kind so many are named; the rest is counted. */
const NAMED = 3;

export function Alerts({ jobs, workers }) {
  const alerts = [...jobAlerts(jobs), ...workerAlerts(workers)];
  if (!alerts.length) return null;
  return html`<section class="alerts card" aria-label="Needs attention">
    ${alerts.map((alert) => html`<div key=${alert.key} class="alert" data-tone=${alert.tone}><${Icon} name="alert" /><p class="alert-text">${alert.text}</p></div>`)}
  </section>`;
}

function jobAlerts(jobs) {
  const alerts = [];
  for (const job of jobs) {
    const name = html`<a href="/jobs/${job.job}">${jobTitle(job)}</a>`;
    if (job.waiting_for && !isEnd(job.state)) alerts.push({ key: `w${job.job}`, tone: "warn", text: html`${name} is waiting for ${job.waiting_for}` });
    if (job.unreported) alerts.push({ key: `u${job.job}`, tone: "bad", text: html`The report of ${name} could not be written: ${job.unreported}` });
    if (job.failed > 0 && !isEnd(job.state)) {
      alerts.push({ key: `f${job.job}`, tone: "bad", text: html`${plural(job.failed, "video")} of ${name} failed. <a href="/jobs/${job.job}?state=failed">Look at them</a>` });
    }
  }
  return alerts;
}

function workerAlerts(workers) {
  const alerts = [];
  const kinds = [
    ["set aside", "bad", "set aside"],
    ["refused", "bad", "refused"],
    ["lost", "warn", "lost"],
  ];
  for (const [state, tone, word] of kinds) {
    const those = workers.filter((worker) => worker.state === state);
    for (const worker of those.slice(0, NAMED)) {
      alerts.push({ key: worker.id, tone, text: html`<a href="/machines">${worker.name}</a> is ${word}${worker.detail ? `: ${worker.detail}` : ""}` });
    }
    if (those.length > NAMED) alerts.push({ key: state, tone, text: html`<a href="/machines?state=${encodeURIComponent(state)}">${plural(those.length - NAMED, "more worker")}</a> ${those.length - NAMED === 1 ? "is" : "are"} ${word}` });
  }
  const walled = workers.filter((worker) => worker.reachable === false && worker.state !== "lost");
  if (walled.length) {
    const names = walled.slice(0, NAMED).map((worker) => worker.name).join(", ");
    alerts.push({ key: "walled", tone: "warn", text: html`Others cannot reach ${names}${walled.length > NAMED ? ` and ${walled.length - NAMED} more` : ""}: results go round by the coordinator, which is slower` });
  }
  return alerts;
}
