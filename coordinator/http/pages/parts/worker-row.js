// A worker: what it can do and holds, what it computes, how fast, and how full its memory is.

import { html } from "../vendor/htm-preact.js";
import { bytes, fullMoment, moment, percent } from "../format.js";
import { memo } from "../memo.js";
import { assignedRoles, isGone, stageName } from "../words.js";
import { Pace } from "./pace.js";
import { Meter } from "./progress.js";
import { State } from "./state.js";
import { WorkerActions } from "./worker-actions.js";
import { WorkerName } from "./worker-dialog.js";

export const WorkerRow = memo(({ worker, paces, first, last, position, showDevice }) => {
  const edges = `${first ? " first" : ""}${last ? " last" : ""}`;
  return html`<div class="table-row worker-row workers-grid${edges}" role="row" aria-rowindex=${position + 1}>
    <span role="cell" class="stack"><${WorkerName} worker=${worker} /><${Roles} worker=${worker} />${worker.note && html`<span class="small muted" title=${worker.note}>${worker.note}</span>`}${showDevice && html`<span class="small muted">${worker.device}</span>`}</span>
    <span role="cell" class="stack wide"><${State} state=${worker.state} /><${Presence} worker=${worker} />${worker.detail && html`<span class="small muted" title=${worker.detail}>${worker.detail}</span>`}
      ${worker.reachable === false && html`<span class="small warn" title="Its results go round by the coordinator, which is slower">not reachable at ${worker.address}</span>`}</span>
    <span role="cell"><${Running} worker=${worker} /></span>
    <span role="cell" class="wide"><${Pace} paces=${paces} /></span>
    <span role="cell" class="wide"><${Memory} worker=${worker} /></span>
    <span role="cell" class="worker-actions"><${WorkerActions} worker=${worker} /></span>
  </div>`;
});

/** When one that is not there was seen last; of the others, how busy they were since they came. */
function Presence({ worker }) {
  if (isGone(worker) || worker.state === "lost") {
    return worker.last_seen && html`<span class="small muted" title=${fullMoment(worker.last_seen)}>last seen ${moment(worker.last_seen)}</span>`;
  }
  return worker.busy != null && html`<span class="small muted" title="of the time since ${fullMoment(worker.since)}">${percent(worker.busy)} busy</span>`;
}

/** The roles; those whose weights are in memory stand out. */
function Roles({ worker }) {
  const assigned = new Set(assignedRoles(worker));
  const loaded = worker.memory && new Set(worker.memory.loaded.map((each) => each.role));
  return html`<span class="tags">${worker.roles.map((role) => {
    const resident = !loaded || loaded.has(role);
    const given = assigned.has(role);
    const title = `${resident ? "in memory" : "can be loaded"}${given ? "" : ", but is given no work of it"}`;
    return html`<span key=${role} class="tag" data-resident=${resident ? "" : undefined} data-idle=${given ? undefined : ""} title=${title}>${role}</span>`;
  })}</span>`;
}

function Running({ worker }) {
  const { running } = worker;
  const loading = worker.memory?.loading;
  if (running) {
    const steps = running.stage?.startsWith("denoise") && running.steps > 0;
    return html`<span class="stack"><a class="small" href="/jobs/${running.video.replace("/", "/videos/")}">Video ${running.video}</a>
      ${steps && html`<${Meter} value=${running.steps_done} max=${running.steps} label="${running.steps_done} of ${running.steps} steps" />`}
      <span class="small muted">${stageName(running.stage)}${steps ? `, step ${running.steps_done} of ${running.steps}` : ""}</span></span>`;
  }
  if (loading) {
    const share = loading.of_bytes ? loading.read_bytes / loading.of_bytes : 0;
    return html`<span class="stack"><span class="small">Loading ${loading.role}</span><${Meter} value=${share} label="${percent(share)} read" tone="quiet" /><span class="small muted">${bytes(loading.read_bytes)} of ${bytes(loading.of_bytes)}</span></span>`;
  }
  return html`<span class="small faint narrow-state"><${State} state=${worker.state} /></span>`;
}

function Memory({ worker }) {
  const { memory } = worker;
  if (memory) {
    const full = memory.weights_bytes / Math.max(1, memory.budget_bytes);
    return html`<span class="stack"><span class="small">${bytes(memory.weights_bytes)} <span class="muted">of ${bytes(memory.budget_bytes)}</span></span>
      <${Meter} value=${full} label="${percent(full)} of the budget" tone="quiet" /><span class="small muted">weights in memory</span></span>`;
  }
  const held = worker.weights.reduce((sum, each) => sum + each.bytes, 0);
  return html`<span class="stack"><span class="small">${held ? bytes(held) : "–"}</span><span class="small muted">pinned weights</span></span>`;
}
