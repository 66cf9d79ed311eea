// What the quality gate saw: its verdict, and each check with its figures.

import { html } from "../vendor/htm-preact.js";
import { trim } from "../format.js";

export function Quality({ quality }) {
  const checks = Object.entries(quality).filter(([, check]) => check && typeof check === "object" && !Array.isArray(check));
  const good = quality.verdict === "ok";
  return html`<section class="card panel" aria-labelledby="quality-title">
    <div class="panel-head"><h2 id="quality-title">Quality</h2><span class=${good ? "muted" : "warn"}>${quality.verdict}</span></div>
    ${quality.reasons?.map((reason) => html`<p key=${reason} class="warn small reason">${reason}</p>`)}
    <dl class="settings">${checks.map(([name, check]) => html`<dt key=${name}>${name}</dt><dd class=${check.verdict === "ok" ? "" : "warn"}>${figures(check)}</dd>`)}</dl>
  </section>`;
}

function figures(check) {
  return Object.entries(check)
    .filter(([key, value]) => key !== "verdict" && typeof value === "number")
    .map(([key, value]) => `${key.replace(/_/g, " ")} ${figure(value)}`)
    .join(", ");
}

function figure(value) {
  return Math.abs(value) < 1 ? String(Number(value.toPrecision(2))) : trim(value);
}
