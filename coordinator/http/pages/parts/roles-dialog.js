// Which of its roles a worker is given work of.

import { html, useState } from "../vendor/htm-preact.js";
import { assignedRoles } from "../words.js";
import { Dialog } from "./dialog.js";

/** `onChoose` gets the roles, or null for all that the worker serves, later ones among them. */
export function RolesDialog({ worker, onChoose, onClose }) {
  const [chosen, set] = useState(() => new Set(assignedRoles(worker)));
  const toggle = (role) => {
    const next = new Set(chosen);
    if (!next.delete(role)) next.add(role);
    set(next);
  };
  const choose = () => {
    onClose();
    onChoose(worker.roles.every((role) => chosen.has(role)) ? null : worker.roles.filter((role) => chosen.has(role)));
  };
  return html`<${Dialog} title="Roles of ${worker.name}" onClose=${onClose}>
    <p>It is given work of these. What it computes now is finished first.</p>
    <div class="checks">${worker.roles.map((role) => html`<label key=${role} class="check"><input type="checkbox" checked=${chosen.has(role)} onChange=${() => toggle(role)} />${role}</label>`)}</div>
    <div class="dialog-actions"><button class="button" onClick=${onClose}>Keep as it is</button><button class="button primary" disabled=${!chosen.size} onClick=${choose}>Set</button></div>
  <//>`;
}
