// What is wrong with a manifest: every fault, each leading to its line.

import { html } from "../vendor/htm-preact.js";
import { plural } from "../format.js";

export function Faults({ problem, onGo }) {
  const { faults } = problem;
  return html`<section class="card panel" aria-labelledby="faults-title">
    <h2 id="faults-title" class="bad">${faults.length ? plural(faults.length, "fault") : problem.title}</h2>
    ${!faults.length && html`<p class="small error-text">${problem.message}</p>`}
    ${faults.map((fault, at) => html`<div key=${at} class="fault">
      <button onClick=${() => fault.line && onGo({ line: fault.line, column: fault.column })}>${fault.line ? `Line ${fault.line}: ` : ""}${fault.what}</button>
      ${fault.why && html`<p class="small">${fault.why}</p>`}
      ${fault.help && html`<p class="small muted">${fault.help}</p>`}
    </div>`)}
  </section>`;
}
