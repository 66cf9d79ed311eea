// The head of a machine's workers: what it is, and what can be done with all of them.

import { html, useState } from "../vendor/htm-preact.js";
import { path, send } from "../api.js";
import { bytes, plural } from "../format.js";
import { resource } from "../store.js";
import { isGone, isOut } from "../words.js";
import { Confirm } from "./dialog.js";
import { attempt } from "./toast.js";

export function HostRow({ host, its }) {
  const [asking, ask] = useState(false);
  const devices = [...new Set(its.map((worker) => worker.device))];
  const memory = its.find((worker) => worker.memory_bytes)?.memory_bytes;
  const versions = [...new Set(its.map((worker) => worker.version).filter(Boolean))];
  const facts = [devices.join(", "), memory && bytes(memory), its.length > 1 && plural(its.length, "worker"), versions.length > 0 && `version ${versions.join(", ")}`].filter(Boolean);
  const out = its.filter((worker) => isOut(worker.state));
  const at = its.filter((worker) => !isOut(worker.state) && !isGone(worker) && worker.state !== "lost");
  const all = (those, state, text) =>
    attempt(Promise.all(those.map((worker) => send("PATCH", "/workers/{}", [worker.id], { state }))), text).then(() => resource(path("workers")).touch());
  return html`<div class="host-row" role="row"><span role="cell" class="one-line"><b class="host-name">${host}</b> <span class="small muted">${facts.join(" · ")}</span></span>
    <span role="cell" class="worker-actions">
      ${out.length > 1 && html`<button class="button small" aria-label="Enable all of ${host}" onClick=${() => all(out, "enabled", `${host} gets work again`)}>Enable all</button>`}
      ${at.length > 1 && html`<button class="button small quiet" aria-label="Drain all of ${host}" onClick=${() => ask(true)}>Drain all</button>`}
    </span>
    ${asking && html`<${Confirm} title="Drain ${host}?" text="Its ${plural(at.length, "worker")} finish the steps they have, what only they hold is copied, and their processes end." action="Drain them" onYes=${() => all(at, "drained", `${host} gets no more work`)} onClose=${() => ask(false)} />`}
  </div>`;
}
