// Machines: the farm's workers by host, or slowest first.

import { html, useCallback, useMemo } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { byName, bytes, count, percent, plural } from "../format.js";
import { compared, medians } from "../paces.js";
import { Chips } from "../parts/chips.js";
import { HostRow } from "../parts/host-row.js";
import { Icon } from "../parts/icon.js";
import { Missing } from "../parts/problem.js";
import { Switch } from "../parts/switch.js";
import { Virtual } from "../parts/virtual.js";
import { WorkerRow } from "../parts/worker-row.js";
import { remember, useAddress } from "../router.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";
import { isGone, isOut } from "../words.js";

const ROW = 84;
const HEAD = 68;
/** How busy somebody was who does nothing changes without an event. */
const ASK_AGAIN = 60_000;

export function Machines() {
  useTitle("Machines");
  const { value, problem } = useResource(path("workers"), { every: ASK_AGAIN });
  const { query } = useAddress();
  const workers = value?.workers;
  const filter = { state: query.get("state") || "all", text: query.get("q") || "", by: query.get("by") === "pace" ? "pace" : "host" };
  const all = useMemo(() => medians(workers || []), [workers]);
  const rows = useMemo(() => lines(workers || [], filter, all), [workers, all, filter.state, filter.text, filter.by]);
  if (!workers) return html`<${Missing} problem=${problem} what="farm" />`;
  if (!workers.length) {
    return html`<div class="empty"><h1>No machine is here yet</h1><p>Start a worker on each machine that computes:</p><pre class="mono">${starting()}</pre></div>`;
  }
  return html`
    <div class="page-head"><div class="page-title"><h1>Machines</h1></div></div>
    <${Summary} workers=${workers} />
    <${Toolbar} workers=${workers} filter=${filter} shown=${rows.filter((row) => row.worker).length} />
    <${List} rows=${rows} by=${filter.by} />`;
}

function Summary({ workers }) {
  const here = workers.filter((worker) => !isGone(worker) && worker.state !== "lost");
  const busy = here.filter((worker) => worker.running).length;
  const budget = here.reduce((sum, worker) => sum + (worker.memory?.budget_bytes || 0), 0);
  const held = here.reduce((sum, worker) => sum + (worker.memory?.weights_bytes || 0), 0);
  const hosts = new Set(here.map(hostOf)).size;
  return html`<div class="summary">
    <p class="figure"><b>${count(here.length)}</b><span>workers on ${plural(hosts, "host")}</span></p>
    <p class="figure"><b>${count(busy)}</b><span>computing, ${percent(here.length ? busy / here.length : 0)}</span></p>
    ${budget > 0 && html`<p class="figure"><b>${bytes(held)}</b><span>of weights in memory, of ${bytes(budget)}</span></p>`}
  </div>`;
}

function Toolbar({ workers, filter, shown }) {
  const number = (passes) => workers.filter(passes).length;
  const states = [
    ["all", "All", workers.length],
    ["busy", "Computing", number((worker) => passesState(worker, "busy"))],
    ["idle", "Idle", number((worker) => passesState(worker, "idle"))],
    ["out", "Drained", number((worker) => passesState(worker, "out"))],
    ["set aside", "Set aside", number((worker) => passesState(worker, "set aside"))],
    ["lost", "Lost", number((worker) => passesState(worker, "lost"))],
    ["refused", "Refused", number((worker) => passesState(worker, "refused"))],
    ["gone", "Gone", number((worker) => passesState(worker, "gone"))],
  ].filter(([key, , total]) => total > 0 || key === "all" || key === filter.state);
  return html`<div class="toolbar" role="search" aria-label="Workers">
    <${Chips} label="State" options=${states} value=${filter.state} onChange=${(state) => remember({ state: state === "all" ? null : state })} />
    <span class="end search"><${Icon} name="search" /><input class="input" type="search" placeholder="Search names, devices, roles" aria-label="Search workers" value=${filter.text} onInput=${(event) => remember({ q: event.target.value })} /></span>
    <${Switch} label="Order" value=${filter.by} options=${[["host", "By host"], ["pace", "Slowest first"]]} onChange=${(by) => remember({ by: by === "pace" ? by : null })} />
    <span class="visually-hidden" role="status">${plural(shown, "worker")} shown</span>
  </div>`;
}

function passesState(worker, state) {
  if (state === "all") return true;
  if (state === "out") return isOut(worker.state) && worker.state !== "set aside";
  return worker.state === state;
}

/** The machine of a worker: by its own word, else by where its tensors are read. */
export function hostOf(worker) {
  if (worker.host) return worker.host;
  if (!worker.address) return worker.name;
  return worker.address.replace(/^\w+:\/\//, "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}

/** What is listed, line by line: heads of hosts and workers. */
function lines(workers, { state, text, by }, all) {
  const wanted = text.trim().toLowerCase();
  const chosen = workers.filter((worker) => passesState(worker, state) && (!wanted || [worker.name, worker.device, hostOf(worker), ...worker.roles, ...worker.models].join(" ").toLowerCase().includes(wanted)));
  const row = (worker, first, last) => ({ key: worker.id, worker, paces: compared(worker, all), first, last });
  if (by === "pace") {
    const rows = chosen.map((worker) => row(worker, true, true));
    const slowness = (each) => Math.max(0, ...each.paces.map((pace) => pace.ratio || 0));
    rows.sort((a, b) => slowness(b) - slowness(a) || byName(a.worker.name, b.worker.name));
    return rows.map((each, at) => ({ ...each, first: at === 0, last: at === rows.length - 1 }));
  }
  const hosts = new Map();
  for (const worker of chosen) {
    const host = hostOf(worker);
    if (!hosts.has(host)) hosts.set(host, []);
    hosts.get(host).push(worker);
  }
  const listed = [];
  for (const host of [...hosts.keys()].sort(byName)) {
    const its = hosts.get(host).sort((a, b) => byName(a.name, b.name));
    listed.push({ key: `host ${host}`, host, its });
    its.forEach((worker, at) => listed.push(row(worker, at === 0, at === its.length - 1)));
  }
  return listed;
}

function List({ rows, by }) {
  const height = useCallback((at) => (rows[at].host ? HEAD : ROW), [rows]);
  const draw = useCallback((at) => {
    const line = rows[at];
    if (line.host) return html`<${HostRow} ...${line} />`;
    return html`<${WorkerRow} worker=${line.worker} paces=${line.paces} first=${line.first} last=${line.last} position=${at} showDevice=${by === "pace"} />`;
  }, [rows, by]);
  if (!rows.length) return html`<p class="muted nothing">No worker passes the filter. <a href="/machines">Show all</a></p>`;
  return html`<${Virtual} role="table" label="Workers" rows=${rows.length} height=${height} draw=${draw} />`;
}

// On a farm that encrypts a machine joins first.
function starting() {
  return location.protocol === 'https:'
    ? "coordinator join 'LINE'     # as `coordinator access grant worker` prints it\ncoordinator worker --models DIR"
    : `coordinator worker --coordinator ${location.host} --models DIR`;
}
