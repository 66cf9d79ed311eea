// Tonight: when everything will be finished, what is in the way, what is being rendered now, and the jobs.

import { html } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { useNow } from "../clockwork.js";
import { historyOf } from "../history-of.js";
import { ago, clock, count, day, duration, fullMoment, moment, plural } from "../format.js";
import { Alerts } from "../parts/alerts.js";
import { Happened } from "../parts/happened.js";
import { Lanes } from "../parts/lanes.js";
import { Missing } from "../parts/problem.js";
import { Legend, Progress } from "../parts/progress.js";
import { State } from "../parts/state.js";
import { Wall } from "../parts/wall.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";
import { isEnd, jobTitle } from "../words.js";

const NEWS = "job.submitted,job.paused,job.resumed,job.suspended,job.retried,job.ended,job.described,job.prioritised,job.forgotten,video.failed,video.suspect,attempt.failed,attempt.lost,worker.joined,worker.lost,worker.left,worker.drained,worker.enabled,worker.set_aside,worker.assigned,worker.described,worker.forgotten";
const NEWS_SHOWN = 8;
/** Jobs that are over, shown without asking. */
const FINISHED_SHOWN = 12;

export function Tonight() {
  const jobs = useResource(path("jobs"));
  const workers = useResource(path("workers"));
  const farm = useResource(path("farm"), { every: 5000 });
  const list = jobs.value?.jobs;
  const open = list?.filter((job) => !isEnd(job.state)) || [];
  const left = farm.value?.seconds_left;
  const end = left != null && open.some((job) => job.state === "active") ? new Date(farm.at + left * 1000) : null;
  useTitle(end ? clock(end) : null);
  if (!list) return html`<${Missing} problem=${jobs.problem} what="farm" />`;
  const crew = workers.value?.workers || [];
  return html`
    <h1 class="visually-hidden">Tonight</h1>
    <section class="hero" aria-label="When everything is finished">
      <${Finish} jobs=${list} open=${open} end=${end} />
      ${crew.length > 0 && html`<${Lanes} workers=${crew} farm=${farm.value} />`}
    </section>
    <${Alerts} jobs=${list} workers=${crew} farm=${farm.value} />
    <${Wall} workers=${crew} />
    <${Jobs} jobs=${list} />
    <${News} />`;
}

function Finish({ jobs, open, end }) {
  const now = useNow();
  const active = open.filter((job) => job.state === "active");
  const rendered = open.length ? open : [];
  const sum = (key) => rendered.reduce((total, job) => total + job[key], 0);
  const whole = { videos: sum("videos"), done: sum("done"), running: sum("running"), failed: sum("failed"), cancelled: sum("cancelled") };
  return html`<div>
    ${end ? html`<${Clock} end=${end} now=${now} />` : html`<${Words} jobs=${jobs} open=${open} active=${active} now=${now} />`}
    ${whole.videos > 0 && html`<div class="hero-progress"><${Progress} ...${whole} /><${Legend} ...${whole} /></div>`}
  </div>`;
}

function Clock({ end, now }) {
  const seconds = (end.getTime() - now) / 1000;
  const named = day(end, new Date(now));
  return html`
    <p class="hero-label">Everything is finished at</p>
    <p class="hero-clock"><time datetime=${end.toISOString()}>${clock(end)}</time></p>
    <p class="hero-when">${named} <span class="muted">· ${seconds > 5 ? `in ${duration(Math.max(60, seconds))}` : "any moment"}</span></p>`;
}

/** What stands in the clock's place while there is no time to tell. */
function Words({ jobs, open, active, now }) {
  if (active.length) {
    const waits = active.find((job) => job.waiting_for)?.waiting_for;
    return html`<p class="hero-clock words">Under way</p>
      <p class="hero-when muted">${waits ? `Waiting for ${waits}` : "How long it takes is known after the first steps"}</p>`;
  }
  if (open.length) {
    return html`<p class="hero-clock words">Paused</p><p class="hero-when muted">${plural(open.length, "job")} will go on when resumed</p>`;
  }
  const last = jobs.filter((job) => job.ended).sort((a, b) => b.ended.localeCompare(a.ended))[0];
  if (!last) {
    return html`<p class="hero-clock words">Nothing to render</p><p class="hero-when muted"><a href="/submit">Submit the first manifest</a></p>`;
  }
  return html`<p class="hero-clock words">All done</p>
    <p class="hero-when"><a href="/jobs/${last.job}">${jobTitle(last)}</a> <span class="muted">ended ${ago(last.ended, now)}, ${last.done} of ${plural(last.videos, "video")} finished</span></p>`;
}

function Jobs({ jobs }) {
  const order = (job) => (job.state === "active" ? 0 : job.state === "paused" ? 1 : 2);
  const sorted = [...jobs].sort((a, b) => order(a) - order(b) || (order(a) < 2 ? b.priority - a.priority || a.job - b.job : b.job - a.job));
  const open = sorted.filter((job) => !isEnd(job.state));
  const over = sorted.filter((job) => isEnd(job.state));
  if (!jobs.length) return null;
  return html`
    ${open.length > 0 && html`<section class="section"><div class="section-head"><h2>Jobs</h2></div><${Rows} jobs=${open} /></section>`}
    ${over.length > 0 && html`<section class="section"><div class="section-head"><h2>Earlier</h2><span class="small">${plural(over.length, "job")}</span></div>
      <${Rows} jobs=${over.slice(0, FINISHED_SHOWN)} />
      ${over.length > FINISHED_SHOWN && html`<details class="more"><summary>Show ${plural(over.length - FINISHED_SHOWN, "more job")}</summary><${Rows} jobs=${over.slice(FINISHED_SHOWN)} /></details>`}
    </section>`}`;
}

/** What happened last, of what people want to know: not each video that is done. */
function News() {
  const { value } = useResource(historyOf({ types: NEWS, limit: NEWS_SHOWN }));
  if (!value?.events.length) return null;
  return html`<section class="section"><div class="section-head"><h2>What happened</h2><a class="small end" href="/history">All of it</a></div><${Happened} events=${value.events} /></section>`;
}

function Rows({ jobs }) {
  return html`<div class="card jobs">${jobs.map((job) => html`<${JobRow} key=${job.job} job=${job} />`)}</div>`;
}

function JobRow({ job }) {
  const settled = job.done + job.failed + job.cancelled;
  return html`<a class="job-row" href="/jobs/${job.job}">
    <span class="stack"><span class="job-name">${jobTitle(job)}</span><span class="small muted">${[job.owner, job.model].filter(Boolean).join(" · ")}</span></span>
    <span class="job-bar"><${Progress} ...${job} /><span class="one-line">${jobWords(job, settled)}</span></span>
    <${State} state=${job.state} />
    <span class="job-end" title=${fullMoment(job.ended || job.submitted)}>${job.ended ? html`<span class="muted">ended</span> ${moment(job.ended)}` : html`<span class="muted">since</span> ${moment(job.submitted) || "–"}`}</span>
  </a>`;
}

function jobWords(job, settled) {
  const parts = [`${count(settled)} of ${plural(job.videos, "video")}`];
  if (job.running) parts.push(`${count(job.running)} running`);
  if (job.failed) parts.push(`${count(job.failed)} failed`);
  if (job.waiting_for) parts.push(`waiting for ${job.waiting_for}`);
  return parts.join(" · ");
}
