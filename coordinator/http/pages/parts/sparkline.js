// Paces over time as a line from zero up. The figures beside it say the same.

import { html } from "../vendor/htm-preact.js";
import { median } from "../format.js";

const WIDTH = 400;
const HEIGHT = 56;
/** More points than this share a place, of which the median is drawn. */
const PLACES = 120;

export function Sparkline({ points, most, stage }) {
  const begin = points[0].at;
  const span = Math.max(1, points.at(-1).at - begin);
  const places = new Map();
  for (const { at, seconds } of points) {
    const place = Math.round(((at - begin) / span) * PLACES);
    if (!places.has(place)) places.set(place, []);
    places.get(place).push(seconds);
  }
  const drawn = [...places].map(([place, all]) => [(place / PLACES) * WIDTH, HEIGHT - 3 - (median(all) / most) * (HEIGHT - 8)]);
  // One alone is a line as well.
  if (drawn.length === 1) drawn.push([WIDTH, drawn[0][1]]);
  return html`<svg class="sparkline" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true" style=${{ "--stage": `var(--stage-${stage})` }}>
    <polyline points=${drawn.map((point) => point.map((side) => side.toFixed(1)).join(",")).join(" ")} /></svg>`;
}
