// The morning after: what came of a job and where the time went, on one page that prints.

import { html } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { bytes, count, duration, encodingName, fullMoment, percent, plural } from "../format.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { Missing } from "../parts/problem.js";
import { Legend, Progress } from "../parts/progress.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";
import { isSuspect, jobTitle, stageName } from "../words.js";

/** The contact sheet holds so many at most; more would be no sheet. */
const SHEET = 2000;

export function Report({ job: id }) {
  const { value, problem } = useResource(path("jobs", id, "report.json"));
  useTitle(value && `Report of ${jobTitle(value.job)}`);
  if (!value) return html`<${Missing} problem=${problem} what="report" />`;
  const { job } = value;
  return html`<article class="report">
    <div class="page-head"><div class="page-title">
      <p class="crumbs"><a href="/">Tonight</a><${Icon} name="chevron" /><a href="/jobs/${job.job}">${jobTitle(job)}</a><${Icon} name="chevron" /><span>Report</span></p>
      <h1>${headline(job)}</h1>
      <p class="facts"><span>${jobTitle(job)}</span><span>${job.model}</span>${job.submitted && html`<span>submitted ${fullMoment(job.submitted)}</span>`}${job.ended && html`<span>ended ${fullMoment(job.ended)}</span>`}</p>
    </div><div class="actions"><a class="button" href=${path("jobs", job.job, "report.html")} download="${jobTitle(job)}.report.html" data-plain><${Icon} name="download" />Save as one file</a><button class="button" onClick=${() => print()}><${Icon} name="print" />Print</button></div></div>
    <${Progress} ...${job} />
    <div class="report-legend"><${Legend} ...${job} /></div>
    <div class="summary report-figures">
      <p class="figure"><b>${duration(value.wall_seconds)}</b><span>from submission to the last file</span></p>
      ${value.render_seconds != null && html`<p class="figure"><b>${duration(value.render_seconds)}</b><span>of rendering</span></p>`}
      ${value.bottleneck && html`<p class="figure"><b>${value.bottleneck}</b><span>was busiest</span></p>`}
    </div>
    <${Outcome} forecast=${value.forecast} ended=${job.ended} />
    <${Failures} job=${job} videos=${value.videos} />
    <${Suspects} job=${job} videos=${value.videos} />
    <${Lost} lost=${value.lost} />
    <${Effort} what="Stage" lines=${value.stages} name=${(line) => stageName(line.name)} />
    <${Effort} what="Role" lines=${value.roles} name=${(line) => line.name} />
    <${Effort} what="Worker" lines=${value.workers} name=${(line) => line.name} alone=${true} />
    <${Machines} machines=${value.machines} />
    <${Sheet} job=${job} videos=${value.videos} />
    <p class="small muted">Files are below <span class="mono">${value.output_dir}</span>.</p>
  </article>`;
}

function headline(job) {
  if (job.failed) return `${count(job.done)} of ${plural(job.videos, "video")} finished, ${count(job.failed)} failed`;
  if (job.done === job.videos) return `All ${plural(job.videos, "video")} finished`;
  return `${count(job.done)} of ${plural(job.videos, "video")} finished`;
}

/** What was forecast when that could first be told, against what came. */
function Outcome({ forecast, ended }) {
  if (!forecast) return null;
  const took = ended && forecast.at ? (new Date(ended) - new Date(forecast.at)) / 1000 : null;
  const apart = took == null ? 0 : took - forecast.seconds;
  return html`<p class="outcome">${forecast.at && html`At <time datetime=${forecast.at}>${fullMoment(forecast.at)}</time> it`}${!forecast.at && "It"} was forecast to take another <b>${duration(forecast.seconds)}</b>${took != null && html`; it took <b>${duration(took)}</b>${Math.abs(apart) >= 1 && `, ${duration(Math.abs(apart))} ${apart > 0 ? "longer" : "less"}`}`}.</p>`;
}

/** Failures with one cause stand together. */
function Failures({ job, videos }) {
  const causes = new Map();
  for (const video of videos) {
    if (video.state !== "failed") continue;
    const cause = video.error || "no reason is known";
    if (!causes.has(cause)) causes.set(cause, []);
    causes.get(cause).push(video);
  }
  if (!causes.size) return null;
  const sorted = [...causes].sort((a, b) => b[1].length - a[1].length);
  return html`<section class="section"><h2>What failed</h2>
    ${sorted.map(([cause, those]) => html`<div key=${cause} class="card panel cause"><p class="error-text">${cause}</p><p class="small muted">${plural(those.length, "video")}: <${Links} job=${job} videos=${those} /></p></div>`)}
  </section>`;
}

function Suspects({ job, videos }) {
  const suspects = videos.filter(isSuspect);
  if (!suspects.length) return null;
  const verdicts = [...new Set(suspects.map((video) => video.verdict))].sort();
  return html`<section class="section"><h2>What to look at</h2>
    ${verdicts.map((verdict) => html`<p key=${verdict} class="cause">Looks <b>${verdict}</b>: <${Links} job=${job} videos=${suspects.filter((video) => video.verdict === verdict)} /></p>`)}
  </section>`;
}

const LINKED = 60;

function Links({ job, videos }) {
  return html`${videos.slice(0, LINKED).map((video, at) => html`${at ? ", " : ""}<a key=${video.index} href="/jobs/${job.job}/videos/${video.index}">${video.index}</a>`)}${videos.length > LINKED ? ` and ${count(videos.length - LINKED)} more` : ""}`;
}

function Lost({ lost }) {
  if (!lost?.length) return null;
  return html`<section class="section"><h2>Files that are not as they were written</h2><ul class="files">
    ${lost.map((file) => html`<li key=${file.path}><span>${file.path} <span class="warn">${file.state}${file.replaced_by != null ? ` by job ${file.replaced_by}` : ""}</span></span></li>`)}
  </ul></section>`;
}

function Effort({ what, lines, name, alone }) {
  if (!lines?.length) return null;
  return html`<section class="section"><h2>By ${what.toLowerCase()}</h2><div class="scroll-x" tabindex="0" role="region" aria-label="By ${what.toLowerCase()}"><table class="figures">
    <thead><tr><th scope="col">${what}</th>${!alone && html`<th scope="col" class="number">Workers</th>`}<th scope="col" class="number">Busy</th><th scope="col" class="number">Attempts</th><th scope="col" class="number">Unfinished</th><th scope="col" class="number">Steps</th><th scope="col" class="number">Computing</th><th scope="col" class="number">Waited for inputs</th><th scope="col" class="number">Loading</th><th scope="col" class="number">Skipped</th></tr></thead>
    <tbody>${lines.map((line) => html`<tr key=${line.name}><th scope="row">${name(line)}</th>${!alone && html`<td class="number">${line.workers}</td>`}<td class="number">${percent(line.busy)}</td><td class="number">${count(line.attempts)}</td><td class="number ${line.failed ? "warn" : ""}">${line.failed || "–"}</td><td class="number">${line.steps ? count(line.steps) : "–"}</td><td class="number">${duration(line.seconds)}</td><td class="number">${duration(line.input_wait_seconds)}</td><td class="number">${line.load_seconds ? duration(line.load_seconds) : "–"}</td><td class="number">${line.skipped ? count(line.skipped) : "–"}</td></tr>`)}</tbody>
  </table></div></section>`;
}

function Machines({ machines }) {
  if (!machines?.length) return null;
  const held = (machine) => machine.weights.map((each) => `${each.role} ${encodingName(each.encoding)}`).join(", ");
  return html`<section class="section"><h2>Machines</h2><div class="scroll-x" tabindex="0" role="region" aria-label="Machines"><table class="figures">
    <thead><tr><th scope="col">Worker</th><th scope="col">Device</th><th scope="col" class="number">Memory</th><th scope="col">Weights</th></tr></thead>
    <tbody>${machines.map((machine) => html`<tr key=${machine.name}><th scope="row">${machine.name}</th><td>${machine.device}</td><td class="number">${bytes(machine.memory_bytes)}</td><td>${held(machine)}</td></tr>`)}</tbody>
  </table></div></section>`;
}

/** Every finished video, labelled. */
function Sheet({ job, videos }) {
  const done = videos.filter((video) => video.state === "done");
  if (!done.length) return null;
  return html`<section class="section"><h2>Every video</h2><div class="sheet">
    ${done.slice(0, SHEET).map((video) => html`<figure key=${video.index} class="shot"><a class="frame" href="/jobs/${job.job}/videos/${video.index}">
      <${Picture} job=${job.job} video=${video} label="Video ${video.index}" /></a>
      <figcaption class="two-lines">${video.index} · ${video.prompt}</figcaption></figure>`)}
  </div>${done.length > SHEET && html`<p class="small muted">and ${count(done.length - SHEET)} more</p>`}</section>`;
}
