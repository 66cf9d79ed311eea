// A pace on a scale from half to twice the farm's median: left is faster.

import { html } from "../vendor/htm-preact.js";
import { trim } from "../format.js";
import { stageName } from "../words.js";

/** Slower than this by the median is worth a look. */
const SLOW = 1.4;

export function Pace({ paces }) {
  const first = paces[0];
  if (!first) return html`<span class="faint small">not measured yet</span>`;
  const title = paces.map((pace) => `${stageName(pace.stage)}: ${words(pace)}${pace.ratio ? `, ${trim(pace.ratio)} times the median` : ""}`).join("\n");
  const slow = first.ratio > SLOW;
  return html`<span class="stack" title=${title}>
    <span class="small">${words(first)}${first.ratio != null && html` <span class=${slow ? "warn" : "muted"}>${first.ratio.toFixed(2)}×</span>`}</span>
    ${first.ratio != null && html`<span class="pace" data-slow=${slow ? "" : undefined} role="img" aria-label="${first.ratio.toFixed(2)} times the farm's median"><i style=${{ left: `${place(first.ratio)}%` }}></i></span>`}
    <span class="small muted">${stageName(first.stage)}</span>
  </span>`;
}

function words(pace) {
  return `${trim(pace.seconds)} s/${pace.stage?.startsWith("denoise") ? "step" : "item"}`;
}

function place(ratio) {
  return 50 + 50 * Math.max(-1, Math.min(1, Math.log2(ratio)));
}
