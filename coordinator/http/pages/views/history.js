// What has happened on the farm, or to one job: the newest first, and more of it when asked.

import { html, useEffect, useMemo, useState } from "../vendor/htm-preact.js";
import { read } from "../api.js";
import { day } from "../format.js";
import { historyOf } from "../history-of.js";
import { Chips } from "../parts/chips.js";
import { Happened } from "../parts/happened.js";
import { Icon } from "../parts/icon.js";
import { Missing } from "../parts/problem.js";
import { attempt } from "../parts/toast.js";
import { remember, useAddress } from "../router.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";

const PAGE = 200;
const KINDS = [
  ["all", "Everything", ""],
  ["bad", "What went wrong", "job.suspended,video.suspect,video.failed,attempt.failed,attempt.lost,worker.lost,worker.set_aside"],
  ["jobs", "Jobs", "job.submitted,job.planned,job.paused,job.prioritised,job.resumed,job.suspended,job.retried,job.ended,job.described,job.forgotten"],
  ["videos", "Videos", "video.done,video.suspect,video.failed,video.cancelled,video.retried"],
  ["workers", "Workers", "worker.joined,worker.lost,worker.left,worker.drained,worker.enabled,worker.set_aside,worker.assigned,worker.described,worker.forgotten"],
];

export function History() {
  const { query } = useAddress();
  const job = query.get("job");
  const kind = KINDS.find(([key]) => key === query.get("kind")) || KINDS[0];
  useTitle(job ? `History of job ${job}` : "History");
  const url = historyOf({ job, types: kind[2], limit: PAGE });
  const { value, problem } = useResource(url);
  // The newest page is read anew with every event; what was seen before it stays.
  const seen = useMemo(() => new Map(), [url]);
  const [end, setEnd] = useState(null);
  useEffect(() => setEnd(null), [url]);
  if (!value) return html`<${Missing} problem=${problem} what="history" />`;
  const keep = (events) => events.forEach((event) => seen.set(event.id, event));
  keep(value.events);
  const events = [...seen.values()].sort((a, b) => b.id - a.id);
  const cursor = end ?? value.next_cursor;
  const more = () =>
    attempt(read(`${url}&cursor=${encodeURIComponent(cursor)}`).then((page) => {
      keep(page.events);
      setEnd(page.next_cursor || "");
    }));
  return html`
    <div class="page-head"><div class="page-title">
      ${job && html`<p class="crumbs"><a href="/">Tonight</a><${Icon} name="chevron" /><a href="/jobs/${job}">Job ${job}</a><${Icon} name="chevron" /><span>History</span></p>`}
      <h1>What happened</h1></div></div>
    <div class="toolbar" role="search" aria-label="Events"><${Chips} label="Kind" options=${KINDS.map(([key, name]) => [key, name])} value=${kind[0]} onChange=${(next) => remember({ kind: next === "all" ? null : next })} /></div>
    ${!events.length && html`<p class="muted nothing">Nothing of this kind is remembered.</p>`}
    ${days(events).map(([name, those]) => html`<section key=${name} class="section"><h2>${name}</h2><${Happened} events=${those} of=${job} /></section>`)}
    ${cursor && html`<p class="wall-more"><button class="button" onClick=${more}>Show older ones</button></p>`}`;
}

/** By day, the newest first. */
function days(events) {
  const found = new Map();
  const now = new Date();
  for (const event of events) {
    const name = day(new Date(event.at), now);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(event);
  }
  return [...found].map(([name, those]) => [name[0].toUpperCase() + name.slice(1), those]);
}
