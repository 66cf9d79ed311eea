// One choice of a few ways to see the same.

import { html } from "../vendor/htm-preact.js";
import { Icon } from "./icon.js";

/** `options` are `[key, name, icon]`. */
export function Switch({ label, options, value, onChange }) {
  return html`<div class="switch" role="group" aria-label=${label}>
    ${options.map(([key, name, icon]) => html`<button key=${key} aria-pressed=${key === value ? "true" : "false"} onClick=${() => onChange(key)}>${icon && html`<${Icon} name=${icon} />`}${name}</button>`)}
  </div>`;
}
