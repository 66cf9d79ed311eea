// The head of a job's page: its name, where it stands, when it ends, and what can be done with the whole of it.

import { html, useState } from "../vendor/htm-preact.js";
import { path, send } from "../api.js";
import { useNow } from "../clockwork.js";
import { clock, day, duration, fullMoment, moment, plural } from "../format.js";
import { go } from "../router.js";
import { resource } from "../store.js";
import { isEnd, jobTitle } from "../words.js";
import { AboutDialog } from "./about-dialog.js";
import { Confirm } from "./dialog.js";
import { Icon } from "./icon.js";
import { Latest } from "./latest.js";
import { Legend, Progress } from "./progress.js";
import { State } from "./state.js";
import { attempt } from "./toast.js";

export function JobHead({ job, end, counts }) {
  const now = useNow();
  const running = counts.running + counts.writing;
  const labels = Object.entries(job.labels || {});
  return html`
    <div class="page-head">
      <div class="page-title">
        <p class="crumbs"><a href="/">Tonight</a><${Icon} name="chevron" /><span>Job ${job.job}</span></p>
        <h1>${jobTitle(job)}</h1>
        <p class="facts"><${State} state=${job.state} /><span>${job.model}</span>${job.owner && html`<span>${job.owner}</span>`}
          <span title=${fullMoment(job.submitted)}>submitted ${moment(job.submitted) || "–"}</span>
          ${job.ended && html`<span title=${fullMoment(job.ended)}>ended ${moment(job.ended)}</span>`}
          ${labels.map(([key, value]) => html`<span key=${key} class="tag">${key}: ${value}</span>`)}</p>
        ${job.note && html`<p class="muted note">${job.note}</p>`}
      </div>
      <${Actions} job=${job} />
    </div>
    <div class="job-progress">
      ${end && html`<p class="job-clock"><time datetime=${end.toISOString()}>${clock(end)}</time> <span class="muted">${day(end, new Date(now))} · ${end - now > 5000 ? `in ${duration((end - now) / 1000)}` : "any moment"}</span></p>`}
      ${job.waiting_for && html`<p class="warn"><${Icon} name="alert" /> Waiting for ${job.waiting_for}</p>`}
      ${job.unreported && html`<p class="bad"><${Icon} name="alert" /> The report could not be written: ${job.unreported}</p>`}
      <${Progress} videos=${counts.all} done=${counts.done} running=${running} failed=${counts.failed} cancelled=${counts.cancelled} />
      <${Legend} videos=${counts.all} done=${counts.done} running=${running} failed=${counts.failed} cancelled=${counts.cancelled} />
      <${Latest} job=${job.job} />
    </div>`;
}

function Actions({ job }) {
  const [asking, ask] = useState(null);
  const url = path("jobs", job.job);
  const name = jobTitle(job);
  const change = (promise, text) => attempt(promise, text).then((well) => well && resource(url).touch());
  const patch = (body, text) => change(send("PATCH", "/jobs/{}", [job.job], body), text);
  const over = isEnd(job.state);
  const forget = () =>
    attempt(send("DELETE", "/jobs/{}", [job.job]), `${name} is forgotten`).then((well) => {
      if (!well) return;
      resource(path("jobs")).touch();
      go("/");
    });
  return html`<div class="actions">
    ${!over && html`<${Priority} value=${job.priority} onChange=${(priority) => patch({ priority })} />`}
    ${job.state === "active" && html`<button class="button" onClick=${() => patch({ state: "paused" }, `${name} is paused`)}><${Icon} name="pause" />Pause</button>`}
    ${job.state === "paused" && html`<button class="button primary" onClick=${() => patch({ state: "active" }, `${name} goes on`)}><${Icon} name="play" />Resume</button>`}
    ${(job.failed > 0 || job.cancelled > 0) && html`<button class="button" onClick=${() => change(send("POST", "/jobs/{}/retry", [job.job]), `${plural(job.failed + job.cancelled, "video")} will be tried again`)}><${Icon} name="retry" />Retry ${job.failed ? "failed" : "cancelled"}</button>`}
    <button class="button" onClick=${() => ask("about")}><${Icon} name="pen" />Describe</button>
    <a class="button" href="/jobs/${job.job}/report"><${Icon} name="report" />Report</a>
    ${job.done > 0 && html`<a class="button" href=${path("jobs", job.job, "archive.zip")} download="${name}.zip"><${Icon} name="download" />Download</a>`}
    ${!over && html`<button class="button danger" onClick=${() => ask("cancel")}>Cancel</button>`}
    ${over && html`<button class="button danger" onClick=${() => ask("forget")}>Forget</button>`}
    ${asking === "about" && html`<${AboutDialog} job=${job} onSave=${(news) => patch(news, `${name} is described otherwise`)} onClose=${() => ask(null)} />`}
    ${asking === "cancel" && html`<${Confirm} title="Cancel ${name}?" text="What is not finished is given up. Finished videos stay, and retry goes on from where each got to." action="Cancel the job" danger=${true} onYes=${() => patch({ state: "cancelled" }, `${name} is cancelled`)} onClose=${() => ask(null)} />`}
    ${asking === "forget" && html`<${Confirm} title="Forget ${name}?" text="Its line, its report and what retry would go on from go. Finished files stay where they are." action="Forget the job" danger=${true} onYes=${forget} onClose=${() => ask(null)} />`}
  </div>`;
}

/** Higher goes first; 50 unless a manifest says otherwise. */
const MOST = 100;
const STEP = 10;

function Priority({ value, onChange }) {
  return html`<span class="stepper" role="group" aria-label="Priority">
    <button aria-label="Lower priority" disabled=${value <= 0} onClick=${() => onChange(Math.max(0, value - STEP))}><${Icon} name="minus" /></button>
    <span>Priority ${value}</span>
    <button aria-label="Higher priority" disabled=${value >= MOST} onClick=${() => onChange(Math.min(MOST, value + STEP))}><${Icon} name="plus" /></button>
  </span>`;
}
