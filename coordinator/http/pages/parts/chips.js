// One choice of several, each with how many there are of it, where that is known.

import { html } from "../vendor/htm-preact.js";
import { count } from "../format.js";

/** `options` are `[key, name, number]`. */
export function Chips({ label, options, value, onChange }) {
  return html`<div class="chips" role="group" aria-label=${label}>
    ${options.map(([key, name, number]) => html`<button key=${key} class="chip" aria-pressed=${key === value ? "true" : "false"} onClick=${() => onChange(key)}>${name}${number != null && html` <b>${count(number)}</b>`}</button>`)}
  </div>`;
}
