// The videos of a job by the values of two of the lists that made them: a row for each of one, a column for each of the other.
//
// The page scrolls its rows, a box its columns; of both only those near the window exist. The head stands outside of that
// box, so that it can stay at the top, and follows it.

import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { count, plural } from "../format.js";
import { remember } from "../router.js";
import { chosenAxes, matrixOf } from "../swept.js";
import { MatrixCell } from "./matrix-cell.js";
import { Virtual, reveal } from "./virtual.js";

/** Height of a row, and of the bars that stay at the top with a little air. */
const ROW = 132;
const BELOW_BARS = 170;
/** Width of a column and of the rows' names, and of both on a phone. */
const WIDE = [168, 150];
const NARROW = [124, 84];
/** Columns beyond the edges that exist already. */
const AHEAD = 2;

export function Matrix({ id, order, videos, names, rows, columns }) {
  const box = useRef(null);
  const [view, setView] = useState({ left: 0, width: 1200 });
  const [active, setActive] = useState([0, 0]);
  const wanted = useRef(false);
  const [row, column] = useMemo(() => chosenAxes(videos, names, rows, columns), [videos, names, rows, columns]);
  const matrix = useMemo(() => matrixOf(videos, order, row, column), [videos, order, row, column]);
  const [cellWidth, headWidth] = view.width < 600 ? NARROW : WIDE;
  const at = [Math.min(active[0], matrix.rows.length - 1), Math.min(active[1], matrix.columns.length - 1)];
  const first = Math.max(0, Math.floor(view.left / cellWidth) - AHEAD);
  const last = Math.min(matrix.columns.length, Math.ceil((view.left + view.width) / cellWidth) + AHEAD);
  const width = headWidth + matrix.columns.length * cellWidth;

  useEffect(() => {
    const look = () => setView((now) => (now.left === box.current.scrollLeft && now.width === box.current.clientWidth ? now : { left: box.current.scrollLeft, width: box.current.clientWidth }));
    const watcher = new ResizeObserver(look);
    watcher.observe(box.current);
    box.current.addEventListener("scroll", look, { passive: true });
    return () => watcher.disconnect();
  }, []);
  // The cell that the focus leaves may go with the same drawing, so the focus moves before anything else is heard.
  useLayoutEffect(() => {
    if (!wanted.current) return;
    wanted.current = false;
    box.current.querySelector(`[data-cell="${at.join(" ")}"]`)?.focus({ preventScroll: true });
  });

  const shown = [];
  for (let place = first; place < last; place += 1) shown.push(place);
  if (at[1] >= 0 && !shown.includes(at[1])) shown.push(at[1]);
  const places = shown.join(" ");
  const left = (place) => ({ left: `${headWidth + place * cellWidth}px`, width: `${cellWidth}px` });
  const draw = useCallback((line) => html`<div class="matrix-row" role="row" aria-rowindex=${line + 2}>
    <span class="matrix-name" role="rowheader" style=${{ width: `${headWidth}px` }}><span class="matrix-value" title=${matrix.rows[line]}>${told(matrix.rows[line])}</span></span>
    ${places.split(" ").map(Number).map((place) => {
      const cell = matrix.cells.get(`${line} ${place}`);
      return html`<span key=${place} class="matrix-cell" role="cell" aria-colindex=${place + 2} style=${left(place)}>
        <${MatrixCell} job=${id} video=${cell && videos[cell[0]]} several=${cell?.length || 0} done=${cell ? cell.filter((index) => videos[index].state === "done").length : 0}
          at="${line} ${place}" active=${line === at[0] && place === at[1]} label=${[told(matrix.rows[line]), column && told(matrix.columns[place])].filter(Boolean).join(", ")} />
      </span>`;
    })}
  </div>`, [id, videos, matrix, places, headWidth, cellWidth, at[0], at[1]]);

  const onKeyDown = (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = [Math.max(0, Math.min(matrix.rows.length - 1, at[0] + move[0])), Math.max(0, Math.min(matrix.columns.length - 1, at[1] + move[1]))];
    wanted.current = true;
    setActive(next);
    reveal(box.current.querySelector(".virtual"), next[0], ROW, BELOW_BARS);
    const begin = next[1] * cellWidth;
    const end = begin + cellWidth - (box.current.clientWidth - headWidth);
    box.current.scrollLeft = Math.max(end, Math.min(begin, box.current.scrollLeft));
  };
  const onFocus = (event) => {
    const cell = event.target.dataset?.cell;
    if (cell != null) setActive(cell.split(" ").map(Number));
  };
  return html`<div>
    <${Axes} names=${names} row=${row} column=${column} />
    ${!order.length && html`<p class="muted nothing">No video passes the filter. <a href=${`${location.pathname}?view=matrix`}>Show all</a></p>`}
    <div class="matrix" role="table" aria-label="Videos by ${row}${column ? ` and ${column}` : ""}" aria-rowcount=${matrix.rows.length + 1} aria-colcount=${matrix.columns.length + 1} hidden=${!order.length}>
      <div class="matrix-head" role="rowgroup"><div class="matrix-row" role="row" aria-rowindex="1">
        <span class="matrix-name" role="columnheader" style=${{ width: `${headWidth}px` }}><span class="matrix-value">${row}${column ? html`<span class="faint"> ╲ ${column}</span>` : ""}</span></span>
        <span class="matrix-shift" role="presentation"><span role="presentation" style=${{ transform: `translateX(${-view.left - headWidth}px)` }}>
          ${shown.map((place) => html`<span key=${place} class="matrix-column" role="columnheader" aria-colindex=${place + 2} style=${left(place)} title=${column ? matrix.columns[place] : undefined}>${column ? told(matrix.columns[place]) : plural(order.length, "video")}</span>`)}
        </span></span>
      </div></div>
      <div class="matrix-box" ref=${box} role="presentation" onKeyDown=${onKeyDown} onFocusIn=${onFocus}><div role="presentation" style=${{ width: `${width}px` }}>
        <${Virtual} role="rowgroup" rows=${matrix.rows.length} height=${ROW} draw=${draw} keep=${Math.max(0, at[0])} />
      </div></div>
    </div>
    <p class="visually-hidden" role="status">${count(matrix.rows.length)} rows, ${count(matrix.columns.length)} columns</p>
  </div>`;
}

/** Which lists the rows and the columns stand for. */
function Axes({ names, row, column }) {
  const choice = (label, value, options, key) => html`<label class="matrix-axis">${label}
    <select class="select" value=${value} onChange=${(event) => remember({ [key]: event.target.value })}>${options.map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select>
  </label>`;
  const each = names.map((name) => [name, name]);
  return html`<div class="matrix-axes">
    ${choice("Rows", row, each, "rows")}
    ${names.length > 1 && choice("Columns", column || "-", [["-", "none"], ...each.filter(([name]) => name !== row)], "columns")}
  </div>`;
}

/** A video that no list of this name made has no value. */
function told(value) {
  return value == null ? "–" : value || "(empty)";
}
