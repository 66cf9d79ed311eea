// What can be done with a worker: read its log, say something of it, take it out, put it back, forget one that is gone.

import { html, useState } from "../vendor/htm-preact.js";
import { path, send } from "../api.js";
import { resource } from "../store.js";
import { isGone, isOut } from "../words.js";
import { Confirm } from "./dialog.js";
import { Icon } from "./icon.js";
import { LogDialog } from "./log-dialog.js";
import { NoteDialog } from "./note-dialog.js";
import { RolesDialog } from "./roles-dialog.js";
import { attempt } from "./toast.js";

export function WorkerActions({ worker }) {
  const [asking, ask] = useState(false);
  const change = (promise, text) => attempt(promise, text).then((well) => well && resource(path("workers")).touch());
  const out = isOut(worker.state);
  const leaves = isGone(worker) || worker.state === "lost";
  return html`
    <button class="button small quiet" onClick=${() => ask("log")} aria-label="Log of ${worker.name}">Log</button>
    <button class="button small quiet icon-only" onClick=${() => ask("note")} aria-label="Note on ${worker.name}" title=${worker.note ? "Change the note" : "Write a note"}><${Icon} name="pen" /></button>
    ${out && html`<button class="button small" onClick=${() => change(send("PATCH", "/workers/{}", [worker.id], { state: "enabled" }), `${worker.name} gets work again`)}>Enable</button>`}
    ${!out && !leaves && worker.roles.length > 1 && html`<button class="button small quiet" onClick=${() => ask("roles")} aria-label="Roles of ${worker.name}">Roles</button>`}
    ${!out && !leaves && html`<button class="button small" onClick=${() => ask("drain")} aria-label="Drain ${worker.name}">Drain</button>`}
    ${leaves && html`<button class="button small quiet" onClick=${() => ask("forget")} aria-label="Forget ${worker.name}">Forget</button>`}
    ${asking === "log" && html`<${LogDialog} worker=${worker} onClose=${() => ask(false)} />`}
    ${asking === "note" && html`<${NoteDialog} worker=${worker} onClose=${() => ask(false)} />`}
    ${asking === "drain" && html`<${Confirm} title="Drain ${worker.name}?" text="It finishes the steps it has, what only it holds is copied, and its process ends. Enable gives it work again." action="Drain it" onYes=${() => change(send("PATCH", "/workers/{}", [worker.id], { state: "drained" }), `${worker.name} gets no more work`)} onClose=${() => ask(false)} />`}
    ${asking === "roles" && html`<${RolesDialog} worker=${worker} onChoose=${(assigned) => change(send("PATCH", "/workers/{}", [worker.id], { assigned }), `${worker.name} is given work of ${(assigned || worker.roles).join(", ")}`)} onClose=${() => ask(false)} />`}
    ${asking === "forget" && html`<${Confirm} title="Forget ${worker.name}?" text="It leaves the list. If it comes back, it is a new one." action="Forget it" onYes=${() => change(send("DELETE", "/workers/{}", [worker.id]), `${worker.name} is forgotten`)} onClose=${() => ask(false)} />`}`;
}
