// Rows of a long list: only those near the window exist, so ten thousand cost as much as thirty.
//
// The page itself scrolls, not a box in it: so phones hide their address bar, and there is one scroll bar.

import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { memo } from "../memo.js";

/** Pixels beyond the window's edges in which rows exist already when they come into view. */
const AHEAD = 600;

/**
 * `rows` rows, each as high as `height` says (pixels, or a function of the row), drawn by `draw(row)`. `role` is the list's
 * role, `label` its name. A `draw` that is the same function as before draws the same, so rows that stay are left alone. `keep` is a row that exists wherever the window is: the one that has the focus.
 */
export function Virtual({ rows, height, draw, role = "list", label, keep = null }) {
  const ref = useRef(null);
  const tops = useMemo(() => edges(rows, height), [rows, height]);
  const [range, set] = useState([0, Math.min(rows, 16)]);

  useLayoutEffect(() => {
    const measure = () => {
      const top = ref.current.getBoundingClientRect().top;
      const first = rowAt(tops, -top - AHEAD);
      const last = Math.min(rows, rowAt(tops, innerHeight - top + AHEAD) + 1);
      set((now) => (now[0] === first && now[1] === last ? now : [first, last]));
    };
    let frame = 0;
    const soon = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        measure();
      });
    };
    measure();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    // What stands above the list may grow or shrink.
    const watcher = new ResizeObserver(soon);
    watcher.observe(document.body);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
      watcher.disconnect();
    };
  }, [tops]);

  const shown = [];
  const [first, last] = range;
  if (keep != null && keep < rows && (keep < first || keep >= last)) shown.push(keep);
  for (let row = first; row < Math.min(last, rows); row += 1) shown.push(row);
  return html`<div ref=${ref} class="virtual" role=${role} aria-label=${label} aria-rowcount=${role === "table" ? rows : undefined} style=${{ height: `${tops[rows]}px` }}>
    ${shown.map((row) => html`<${Row} key=${row} row=${row} top=${tops[row]} height=${tops[row + 1] - tops[row]} draw=${draw} />`)}
  </div>`;
}

const Row = memo(({ row, top, height, draw }) => html`<div class="virtual-row" role="presentation" style=${{ height: `${height}px`, transform: `translateY(${top}px)` }}>${draw(row)}</div>`);

/** Where each row begins, and where the last one ends. */
function edges(rows, height) {
  const tops = new Float64Array(rows + 1);
  for (let row = 0; row < rows; row += 1) tops[row + 1] = tops[row] + (typeof height === "function" ? height(row) : height);
  return tops;
}

/** The row at so many pixels below the list's top. */
function rowAt(tops, pixels) {
  let low = 0;
  let high = Math.max(0, tops.length - 2);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle] <= pixels) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Scrolls the window so that a row of a list with rows of one height is wholly in view. */
export function reveal(list, row, height, margin = 96) {
  const top = list.getBoundingClientRect().top + row * height;
  if (top < margin) scrollBy(0, top - margin);
  else if (top + height > innerHeight - margin) scrollBy(0, top + height - innerHeight + margin);
}
