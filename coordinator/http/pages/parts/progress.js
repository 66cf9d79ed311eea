// Bars: how much of a job is done, and how far a video has come.

import { html } from "../vendor/htm-preact.js";
import { count, plural } from "../format.js";

/** A job's videos by what became of them. */
export function Progress({ videos, done, running, failed, cancelled }) {
  const total = Math.max(1, videos);
  const parts = [
    ["done", done],
    ["running", running],
    ["failed", failed],
    ["cancelled", cancelled],
    ["rest", Math.max(0, videos - done - running - failed - cancelled)],
  ].filter(([, number]) => number > 0);
  const words = parts.map(([name, number]) => `${count(number)} ${name === "rest" ? "waiting" : name}`).join(", ");
  const label = `${plural(videos, "video")}: ${words}`;
  return html`<div class="progress" role="img" aria-label=${label}>
    ${parts.map(([name, number]) => html`<i key=${name} data-part=${name} style=${{ flexGrow: number / total }}></i>`)}
  </div>`;
}

/** What the parts of [Progress] mean, with their numbers. */
export function Legend({ videos, done, running, failed, cancelled }) {
  const rest = videos - done - running - failed - cancelled;
  const parts = [["done", done], ["running", running], ["rest", rest, "waiting"], ["failed", failed], ["cancelled", cancelled]];
  return html`<p class="legend">
    ${parts.filter(([, number]) => number > 0).map(([part, number, name]) => html`<span key=${part}><i data-part=${part}></i><b>${count(number)}</b> ${name || part}</span>`)}
  </p>`;
}

/** A share of something as a thin line. */
export function Meter({ value, max = 1, label, tone = "accent" }) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return html`<div class="meter" data-tone=${tone} role="img" aria-label=${label}>
    <i style=${{ transform: `scaleX(${share})` }}></i>
  </div>`;
}
