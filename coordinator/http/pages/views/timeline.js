// The night as it was spent: a strip of time for each worker, what it computed in it, and why it did not.

import { html, useCallback, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { useAttempts } from "../attempts-store.js";
import { useNow } from "../clockwork.js";
import { byName, clock, count, plural } from "../format.js";
import { absences } from "../idle.js";
import { memo } from "../memo.js";
import { AttemptTable } from "../parts/attempt-table.js";
import { Key, Strip } from "../parts/gantt.js";
import { Icon } from "../parts/icon.js";
import { Missing } from "../parts/problem.js";
import { Readout, wordsOf } from "../parts/readout.js";
import { Switch } from "../parts/switch.js";
import { Virtual, reveal } from "../parts/virtual.js";
import { useTheme } from "../palette.js";
import { go, remember, useAddress } from "../router.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";
import { useStroke } from "../timeline-stroke.js";
import { HOUR, edges, holding, marks, moved, zoomed } from "../window-of-time.js";

const ROW = 36;
const NONE = [];
/** A night that has just begun is shown as if it were so old. */
const SHORT = HOUR / 12;
/** Events of workers that explain gaps: those of the newest page. */
const HAPPENED = `${path("history")}?limit=1000&type=worker.joined,worker.lost,worker.left,worker.drained,worker.enabled,worker.set_aside`;
const SPANS = [[1, "1 h"], [6, "6 h"], [12, "12 h"], [24, "1 day"], [72, "3 days"]];

export function Timeline() {
  useTitle("Timeline");
  const { query } = useAddress();
  const hours = SPANS.find(([hours]) => String(hours) === query.get("hours"))?.[0] || 12;
  const job = query.get("job") || "";
  const text = query.get("q") || "";
  const view = query.get("view") === "table" ? "table" : "chart";
  const workers = useResource(path("workers"));
  const jobs = useResource(path("jobs"));
  const happened = useResource(HAPPENED);
  // As long ago as the widest that is chosen; moving about within it asks nothing.
  const since = useMemo(() => new Date(Date.now() - hours * HOUR).toISOString(), [hours]);
  const log = useAttempts(since, job);
  const rows = useMemo(() => lines(workers.value?.workers || NONE, log, happened.value?.events || NONE, text), [workers.value, log, happened.value, text]);
  if (!workers.value || !log) return html`<${Missing} problem=${workers.problem || log?.problem} what="farm" />`;
  return html`
    <div class="page-head"><div class="page-title"><h1>Timeline</h1><p class="facts"><span>${plural(rows.length, "worker")}</span><span>${count(log.all.size)} attempts</span>${log.cut && html`<span class="warn">older ones are not shown</span>`}${log.problem && html`<span class="warn">${log.problem.message}</span>`}</p></div></div>
    <div class="toolbar" role="search" aria-label="Attempts">
      <${Switch} label="Time" value=${hours} options=${SPANS} onChange=${(next) => remember({ hours: next === 12 ? null : next })} />
      <span class="end search"><${Icon} name="search" /><input class="input" type="search" placeholder="Search workers" aria-label="Search workers" value=${text} onInput=${(event) => remember({ q: event.target.value })} /></span>
      <select class="select" aria-label="Job" value=${job} onChange=${(event) => remember({ job: event.target.value })}>
        <option value="">Any job</option>${(jobs.value?.jobs || NONE).map((each) => html`<option key=${each.job} value=${each.job}>${each.job} ${each.name}</option>`)}
      </select>
      <${Switch} label="View" value=${view} options=${[["chart", "Chart", "timeline"], ["table", "Table", "rows"]]} onChange=${(next) => remember({ view: next === "table" ? next : null })} />
    </div>
    ${!rows.length && html`<p class="muted nothing">${text ? "No worker has such a name." : "Nothing was computed in this time."}</p>`}
    ${rows.length > 0 && view === "chart" && html`<${Chart} key=${hours} rows=${rows} hours=${hours} />`}
    ${rows.length > 0 && view === "table" && html`<${AttemptTable} rows=${rows} />`}`;
}

/** A line for each worker that is there or has computed something: its attempts, and what kept it from any. */
function lines(workers, log, events, text) {
  const names = new Map(workers.map((worker) => [worker.id, worker.name]));
  const running = new Map(workers.map((worker) => [worker.id, worker.running]));
  for (const [id, attempts] of log?.workers || []) if (!names.has(id)) names.set(id, attempts[0].name || "forgotten");
  const wanted = text.trim().toLowerCase();
  const told = new Map();
  // The oldest first, which are told last.
  for (let at = events.length - 1; at >= 0; at -= 1) {
    const { worker } = events[at];
    if (!told.has(worker)) told.set(worker, []);
    told.get(worker).push(events[at]);
  }
  const found = [...names].filter(([, name]) => name.toLowerCase().includes(wanted));
  return found.sort((a, b) => byName(a[1], b[1])).map(([id, name]) => ({ id, name, running: running.get(id), attempts: log?.workers.get(id) || NONE, away: absences(told.get(id) || NONE) }));
}

/** From the first attempt on, as far as that is not longer than what is asked for. */
function spanOf(rows, hours) {
  const first = rows.reduce((least, { attempts }) => Math.min(least, attempts[0]?.from ?? least), Infinity);
  return Math.min(hours * HOUR, Math.max(SHORT, (Date.now() - first) * 1.05));
}

function Chart({ rows, hours }) {
  const now = useNow();
  const theme = useTheme();
  const box = useRef(null);
  const list = useRef(null);
  const [shown, show] = useState(() => ({ span: spanOf(rows, hours), end: null }));
  const [width, setWidth] = useState(800);
  const [chosen, choose] = useState(null);
  const [said, say] = useState("");
  const { from, to } = edges(shown, now);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const latest = useRef({});
  latest.current = { rows, shown, from, to, now, width, chosen };
  useStroke({ ref: list, box, latest, show, choose, row: ROW });

  const keys = (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (move && event.shiftKey) show(moved(shown, (move * shown.span) / 4, now));
    else if (move) walk(move);
    else if (step) climb(step);
    else if (event.key === "+" || event.key === "=") show(zoomed(shown, 0.5, middle(), now));
    else if (event.key === "-") show(zoomed(shown, 2, middle(), now));
    else if (event.key === "Home") show({ span: spanOf(rows, hours), end: null });
    else if (event.key === "End") show({ ...shown, end: null });
    else if (event.key === "Enter" && chosen?.attempt) go(`/jobs/${chosen.attempt.job}/videos/${chosen.attempt.video}`);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  };
  const middle = () => (chosen?.attempt ? Math.max(from, Math.min(to, chosen.attempt.from)) : (from + Math.min(to, now)) / 2);
  const pick = (row, attempt) => {
    choose({ worker: rows[row].id, attempt });
    say(wordsOf(rows[row], attempt, now));
    if (attempt) show(holding(shown, attempt.from, now));
    reveal(list.current, row, ROW, 180);
  };
  const rowOf = () => Math.max(0, rows.findIndex((row) => row.id === chosen?.worker));
  /** To the attempt before or after the chosen one. */
  const walk = (by) => {
    const row = rowOf();
    const { attempts } = rows[row];
    const at = attempts.findIndex((attempt) => attempt.id === chosen?.attempt?.id);
    const next = at < 0 ? (by > 0 ? attempts.findIndex((each) => each.to >= from) : attempts.length - 1) : at + by;
    if (attempts[next]) pick(row, attempts[next]);
  };
  /** To what a neighbour did at the same time. */
  const climb = (by) => {
    const row = chosen ? rowOf() + by : 0;
    if (!rows[row]) return;
    const at = chosen?.attempt?.from ?? to;
    const { attempts } = rows[row];
    pick(row, attempts.filter((attempt) => attempt.from <= at).pop() || attempts[0]);
  };

  const draw = useCallback((at) => html`<${Line} line=${rows[at]} from=${from} to=${to} width=${width} now=${now} theme=${theme} chosen=${chosen?.worker === rows[at].id ? chosen : null} />`, [rows, from, to, width, now, theme, chosen]);
  return html`
    <div class="gantt-controls">
      <button class="button small icon-only" aria-label="Show less time" title="Show less time (+)" onClick=${() => show(zoomed(shown, 0.5, middle(), now))}><${Icon} name="plus" /></button>
      <button class="button small icon-only" aria-label="Show more time" title="Show more time (-)" onClick=${() => show(zoomed(shown, 2, middle(), now))}><${Icon} name="minus" /></button>
      <button class="button small icon-only" aria-label="Earlier" title="Earlier (Shift ←)" onClick=${() => show(moved(shown, -shown.span / 2, now))}><span class="flip"><${Icon} name="chevron" /></span></button>
      <button class="button small icon-only" aria-label="Later" title="Later (Shift →)" disabled=${shown.end == null} onClick=${() => show(moved(shown, shown.span / 2, now))}><${Icon} name="chevron" /></button>
      <button class="button small" aria-pressed=${shown.end == null ? "true" : "false"} onClick=${() => show({ ...shown, end: null })}>Now</button>
    </div>
    <${Key} theme=${theme} />
    <div class="gantt" role="application" tabindex="0" aria-label="What each worker computed. Arrow keys lead from attempt to attempt and from worker to worker, plus and minus stretch time, Enter opens the video." onKeyDown=${keys}>
      <div class="gantt-head">
        <div class="gantt-row"><span></span><div ref=${box}><${Axis} from=${from} to=${to} width=${width} /></div></div>
        <${Readout} rows=${rows} chosen=${chosen} now=${now} />
      </div>
      <div ref=${list} class="gantt-list"><${Virtual} role="presentation" rows=${rows.length} height=${ROW} draw=${draw} /></div>
    </div>
    <p class="visually-hidden" role="status">${said}</p>`;
}

const Line = memo(({ line, from, to, width, now, theme, chosen }) => html`<div class="gantt-row">
  <span class="gantt-name one-line" title=${line.name}>${line.name}</span>
  <${Strip} attempts=${line.attempts} away=${line.away} from=${from} to=${to} width=${width} now=${now} theme=${theme} chosen=${chosen?.attempt || null} />
</div>`);

function Axis({ from, to, width }) {
  const { step, at } = marks({ from, to }, width);
  const words = (moment) => {
    const date = new Date(moment);
    if (step < 60_000) return `${clock(date)}:${String(date.getSeconds()).padStart(2, "0")}`;
    return clock(date) === "00:00" ? date.toLocaleDateString(undefined, { day: "numeric", month: "short" }) : clock(date);
  };
  return html`<div class="gantt-axis" aria-hidden="true">${at.map((moment) => html`<span key=${moment} style=${{ left: `${((moment - from) / (to - from)) * 100}%` }}>${words(moment)}</span>`)}</div>`;
}
