// A state as a dot and a word. The word carries the meaning, the dot only repeats it.

import { html } from "../vendor/htm-preact.js";
import { tone } from "../words.js";

export function State({ state, label }) {
  return html`<span class="state" data-tone=${tone(state)}><i class="dot"></i>${label || state}</span>`;
}
