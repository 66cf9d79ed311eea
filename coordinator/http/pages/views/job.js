// A job: how far it is, all its videos as pictures or rows, and what can be done with it and with them.

import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { byName, count } from "../format.js";
import { tally, useJob } from "../job-store.js";
import { memo } from "../memo.js";
import { Chips } from "../parts/chips.js";
import { Icon } from "../parts/icon.js";
import { JobHead } from "../parts/job-head.js";
import { isTyping } from "../parts/keys.js";
import { Matrix } from "../parts/matrix.js";
import { usePicks } from "../parts/pick.js";
import { Missing } from "../parts/problem.js";
import { Selection } from "../parts/selection.js";
import { Switch } from "../parts/switch.js";
import { Tile } from "../parts/tile.js";
import { VideoHead, VideoRow } from "../parts/video-row.js";
import { Virtual, reveal } from "../parts/virtual.js";
import { remember, useAddress } from "../router.js";
import { sweptNames } from "../swept.js";
import { useTitle } from "../title.js";
import { VIDEO_STATES, isSuspect, jobTitle } from "../words.js";

const NONE = [];
/** The ways to see the videos: key, name and pictogram; the last one where lists made them. */
const VIEWS = [["tiles", "Tiles", "grid"], ["table", "Table", "rows"]];
const MATRIX = ["matrix", "Matrix", "matrix"];
/** Height of the bars that stay at the top, and a little air. */
const BELOW_BARS = 130;
const ROW = 48;
/** Height of what stands below a tile's picture. */
const TILE_TEXT = 66;
const GAP = 16;

export function Job({ job: id }) {
  const { value, problem, end } = useJob(id);
  const { query } = useAddress();
  useTitle(value && jobTitle(value.job));
  const videos = value?.videos || NONE;
  const counts = useMemo(() => tally(videos), [videos]);
  // As one text, so that lists that stay as they are count as the same.
  const swept = useMemo(() => sweptNames(videos).join("\n"), [videos]);
  const names = useMemo(() => (swept ? swept.split("\n") : NONE), [swept]);
  const views = names.length ? [...VIEWS, MATRIX] : VIEWS;
  const view = views.find(([key]) => key === query.get("view"))?.[0] || "tiles";
  const filter = { state: query.get("state") || "all", worker: query.get("worker") || "", text: query.get("q") || "", sort: query.get("sort") || "index" };
  const order = useMemo(() => choose(videos, filter), [videos, filter.state, filter.worker, filter.text, filter.sort]);
  const choice = [filter.state, filter.worker, filter.text, filter.sort].join("\n");
  const picks = usePicks();
  if (!value) return html`<${Missing} problem=${problem} what="job" />`;
  return html`
    <${JobHead} job=${value.job} end=${end} counts=${counts} />
    <${Toolbar} filter=${filter} counts=${counts} view=${view} views=${views} videos=${videos} shown=${order.length} />
    ${view === "matrix"
      ? html`<${Matrix} id=${value.job.job} order=${order} videos=${videos} names=${names} rows=${query.get("rows")} columns=${query.get("columns")} />`
      : html`<${Videos} key=${view} id=${value.job.job} view=${view} order=${order} videos=${videos} picks=${picks} sort=${filter.sort} choice=${choice} />`}
    <${Selection} job=${value.job} videos=${videos} picks=${picks} />`;
}

/** The places of the videos that pass the filter, in order. */
function choose(videos, { state, worker, text, sort }) {
  const wanted = text.trim().toLowerCase();
  const passes = (video) =>
    (state === "all" || (state === "suspect" ? isSuspect(video) : state === "bad" ? video.verdict === "bad" : state === "running" ? video.state === "running" || video.state === "writing" : video.state === state)) &&
    (!worker || video.worker === worker) &&
    (!wanted || video.prompt.toLowerCase().includes(wanted) || video.output.toLowerCase().includes(wanted) || String(video.index) === wanted);
  const chosen = videos.filter(passes);
  const key = sort.replace(/^-/, "");
  if (key !== "index" || sort.startsWith("-")) {
    const down = sort.startsWith("-") ? -1 : 1;
    chosen.sort((a, b) => down * compare(sortKey(a, key), sortKey(b, key)) || a.index - b.index);
  }
  return chosen.map((video) => video.index);
}

function sortKey(video, key) {
  return key === "state" ? VIDEO_STATES.indexOf(video.state) : video[key];
}

/** What is not known comes last. */
function compare(a, b) {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a === "string" ? byName(a, b) : a - b;
}

function Toolbar({ filter, counts, view, views, videos, shown }) {
  // As one text, so that the list is drawn again only when a name comes or goes.
  const workers = useMemo(() => [...new Set(videos.map((video) => video.worker).filter(Boolean))].sort(byName).join("\n"), [videos]);
  const states = [
    ["all", "All", counts.all],
    ["running", "Running", counts.running + counts.writing],
    ["waiting", "Waiting", counts.waiting],
    ["done", "Done", counts.done],
    ["suspect", "Suspect", counts.suspect],
    ["bad", "Bad", counts.bad],
    ["failed", "Failed", counts.failed],
    ["cancelled", "Cancelled", counts.cancelled],
  ].filter(([key, , number]) => number > 0 || key === "all" || key === filter.state);
  return html`<div class="toolbar" role="search" aria-label="Videos">
    <${Chips} label="State" options=${states} value=${filter.state} onChange=${(state) => remember({ state: state === "all" ? null : state })} />
    <span class="end search"><${Icon} name="search" /><input class="input" type="search" id="search" placeholder="Search prompts" aria-label="Search prompts" value=${filter.text} onInput=${(event) => remember({ q: event.target.value })} /></span>
    <${WorkerChoice} workers=${workers} value=${filter.worker} />
    <${Switch} label="View" value=${view} options=${views} onChange=${(next) => remember({ view: next === "tiles" ? null : next })} />
    <span class="visually-hidden" role="status">${count(shown)} videos shown</span>
  </div>`;
}

const WorkerChoice = memo(({ workers, value }) => {
  const names = workers ? workers.split("\n") : [];
  if (names.length < 2 && !value) return null;
  return html`<select class="select" aria-label="Worker" value=${value} onChange=${(event) => remember({ worker: event.target.value })}>
    <option value="">Any worker</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
});

/** The videos, one after the other for the keyboard, in columns for the eye. */
function Videos({ id, view, order, videos, picks, sort, choice }) {
  const list = useRef(null);
  const [width, setWidth] = useState(1200);
  const [ratio, setRatio] = useState(null);
  const [active, setActive] = useState(0);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(entry.contentRect.width));
    watcher.observe(list.current);
    return () => watcher.disconnect();
  }, []);
  const narrow = width < 600;
  const gap = narrow ? 10 : GAP;
  const columns = view === "table" ? 1 : narrow ? 2 : Math.max(2, Math.floor((width + gap) / (230 + gap)));
  // Within the tile's borders, and not rounded, so that a picture of this shape fills it exactly.
  const picture = ((width - gap * (columns - 1)) / columns - 2) / (ratio || 16 / 10);
  const height = view === "table" ? ROW : Math.ceil(picture) + TILE_TEXT + gap + 2;
  const at = Math.min(active, Math.max(0, order.length - 1));
  // The first picture decides the shape of all: the videos of a job are mostly of one size.
  const learn = useCallback((seen) => setRatio((known) => known || Math.min(16 / 9, Math.max(3 / 4, seen))), []);
  const chosen = useRef(choice);
  useEffect(() => {
    if (chosen.current === choice) return;
    chosen.current = choice;
    // Another choice begins at its beginning.
    setActive(0);
    const top = list.current.getBoundingClientRect().top - BELOW_BARS;
    if (top < 0) scrollBy(0, top);
  }, [choice]);
  const wanted = useRef(false);
  useVideoKeys({ list, order, columns, height, at, setActive, picks, wanted });
  // The row that the focus leaves may go with the same drawing, so the focus moves before anything else is heard.
  useLayoutEffect(() => {
    if (!wanted.current) return;
    wanted.current = false;
    list.current.querySelector(`[data-focus="${order[at]}"]`)?.focus({ preventScroll: true });
  });
  const now = useRef(order);
  now.current = order;
  const onPick = useCallback((index, range) => picks.toggle(index, range, now.current), [picks.toggle]);
  const onFocus = (event) => {
    const index = event.target.dataset?.focus;
    if (index != null) setActive(Math.max(0, order.indexOf(Number(index))));
  };

  const row = useCallback((place) => {
    const index = order[place];
    return html`<${VideoRow} job=${id} video=${videos[index]} position=${place} picked=${picks.picked.has(index)} active=${place === at} onPick=${onPick} />`;
  }, [id, order, videos, at, picks.picked]);
  const tiles = useCallback((line) => html`<div class="tiles-row" role="presentation" style=${{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, gap: `${gap}px`, paddingBottom: `${gap}px` }}>
    ${order.slice(line * columns, line * columns + columns).map((index, column) => html`<${Tile} key=${index} job=${id} video=${videos[index]} height=${picture} position=${line * columns + column} total=${order.length}
      picked=${picks.picked.has(index)} active=${line * columns + column === at} onPick=${onPick} onRatio=${learn} />`)}
  </div>`, [id, order, videos, at, picks.picked, columns, gap, picture]);
  const sorted = (key) => remember({ sort: key === sort ? `-${key}` : key === "index" ? null : key });
  return html`<div ref=${list} onFocusIn=${onFocus} class=${picks.picked.size ? "picking" : ""}>
    ${!order.length && html`<p class="muted nothing">No video passes the filter. <a href=${location.pathname}>Show all</a></p>`}
    ${order.length > 0 && view === "table" && html`<div class="table" role="table" aria-label="Videos" aria-rowcount=${order.length + 1}><${VideoHead} sort=${sort} onSort=${sorted} />
      <${Virtual} role="rowgroup" rows=${order.length} height=${height} draw=${row} keep=${at} /></div>`}
    ${order.length > 0 && view === "tiles" && html`<${Virtual} label="Videos" rows=${Math.ceil(order.length / columns)} height=${height} draw=${tiles} keep=${Math.floor(at / columns)} />`}
  </div>`;
}

function useVideoKeys(now) {
  const latest = useRef(now);
  latest.current = now;
  useEffect(() => {
    const hear = (event) => {
      const { list, order, columns, height, at, setActive, picks, wanted } = latest.current;
      if (event.key === "/" && !isTyping(event)) {
        event.preventDefault();
        document.getElementById("search").focus();
        return;
      }
      if (isTyping(event) || event.altKey) return;
      if ((event.ctrlKey || event.metaKey) && event.key === "a") {
        event.preventDefault();
        picks.all(order);
        return;
      }
      if (event.ctrlKey || event.metaKey) return;
      if (event.key === "Escape") picks.none();
      const inside = list.current?.contains(document.activeElement);
      const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
      if (inside && moves[event.key]) {
        event.preventDefault();
        const next = Math.min(order.length - 1, Math.max(0, at + moves[event.key]));
        wanted.current = true;
        setActive(next);
        const rows = list.current.querySelector(".virtual");
        reveal(rows, Math.floor(next / columns), height, BELOW_BARS);
      }
      if (inside && event.key === " " && document.activeElement.dataset.focus != null) {
        event.preventDefault();
        picks.toggle(order[at], event.shiftKey, order);
      }
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
}
