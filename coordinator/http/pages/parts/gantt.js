// One worker's night as a strip: what it computed, and why it did not. Drawn on a canvas, for there may be a thousand bars.
//
// Stages differ by shape as well as by colour: where a bar stands in the strip, and whether it is striped.

import { html, useLayoutEffect, useRef } from "../vendor/htm-preact.js";
import { waits } from "../idle.js";
import { memo } from "../memo.js";
import { palette } from "../palette.js";
import { STAGES, stageName } from "../words.js";

export const STRIP = 26;
/** Part of the strip's height in which a stage's bar stands, and what it is striped with. */
const SHAPES = {
  encode_text: { top: 0.5, bottom: 1 },
  encode_image: { top: 0, bottom: 0.5 },
  denoise_high: { top: 0, bottom: 1 },
  denoise_low: { top: 0, bottom: 1, stripes: "slant" },
  denoise: { top: 0, bottom: 1 },
  decode: { top: 0, bottom: 1, stripes: "upright" },
};
/** Waiting that is narrower than this, in pixels, is not drawn: it would look like dirt. */
const SEEN = 4;
/** Bars narrower than this, in pixels, are not striped. */
const STRIPED = 5;

function bar(pen, { stage, result }, left, whole, colours) {
  // One stands apart from the next.
  const width = whole > 3 ? whole - 1 : whole;
  const shape = SHAPES[stage] || SHAPES.denoise;
  const top = Math.round(shape.top * STRIP);
  const height = Math.round(shape.bottom * STRIP) - top;
  pen.fillStyle = colours[stage] || colours.accent;
  pen.fillRect(left, top, width, height);
  if (shape.stripes && width >= STRIPED) stripe(pen, shape.stripes, left, top, width, height, colours.surface);
  if (result && result !== "done") {
    // What came to nothing has a foot of its own.
    pen.fillStyle = colours.bad;
    pen.fillRect(left, STRIP - 5, Math.max(2, width), 5);
  }
}

function stripe(pen, kind, left, top, width, height, colour) {
  pen.globalAlpha = 0.45;
  pen.fillStyle = tile(pen, kind, colour);
  pen.fillRect(left, top, width, height);
  pen.globalAlpha = 1;
}

/** Side of a tile of stripes, in pixels. */
const TILE = 6;
const tiles = new Map();

/** Stripes to fill with. All begin at the strip's left end, so they do not jump when a bar is cut off. */
function tile(pen, kind, colour) {
  const key = `${kind} ${colour}`;
  if (!tiles.has(key)) {
    const canvas = document.createElement("canvas");
    canvas.width = TILE;
    canvas.height = TILE;
    const own = canvas.getContext("2d");
    own.strokeStyle = colour;
    own.lineWidth = 1.5;
    own.beginPath();
    // A slanted one goes on in the tiles beside it.
    for (const x of kind === "slant" ? [-TILE, 0, TILE] : [TILE / 2]) {
      own.moveTo(kind === "slant" ? x + TILE + 1 : x, -1);
      own.lineTo(kind === "slant" ? x - 1 : x, TILE + 1);
    }
    own.stroke();
    tiles.set(key, pen.createPattern(canvas, "repeat"));
  }
  return tiles.get(key);
}

const WAITS = { "loading weights": [5, 3], "waiting for inputs": [2, 4] };

/** A stretch in which nothing was computed: a line in the middle, dashed as its reason is. */
function pause(pen, why, left, width, colours) {
  const middle = STRIP / 2;
  pen.save();
  if (WAITS[why]) {
    pen.strokeStyle = colours.muted;
    pen.setLineDash(WAITS[why]);
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(left, middle);
    pen.lineTo(left + Math.max(2, width), middle);
    pen.stroke();
  } else {
    stripe(pen, "slant", left, 0, width, STRIP, why === "drained" ? colours.warn : colours.faint);
  }
  pen.restore();
}

/** `attempts` in order, `away` what kept the worker from any; `from` and `to` of the window in milliseconds. */
export const Strip = memo(({ attempts, away, from, to, width, now, chosen, theme }) => {
  const ref = useRef(null);
  useLayoutEffect(() => {
    const canvas = ref.current;
    const scale = Math.min(2, devicePixelRatio || 1);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = STRIP * scale;
    const pen = canvas.getContext("2d");
    const colours = palette();
    const place = (at) => ((Math.min(at, now) - from) / (to - from)) * width;
    const draw = (stretch, paint) => {
      const left = Math.max(-2, place(stretch.from));
      const right = Math.min(width + 2, place(stretch.to));
      if (right >= 0 && left <= width && stretch.from <= now) paint(left, Math.max(1, right - left));
    };
    pen.scale(scale, scale);
    pen.fillStyle = colours.track;
    pen.fillRect(0, 0, Math.max(0, Math.min(width, place(now))), STRIP);
    for (const stretch of away) draw(stretch, (left, wide) => pause(pen, stretch.why, left, wide, colours));
    for (const attempt of attempts) {
      if (attempt.from > to || attempt.to < from) continue;
      for (const stretch of waits(attempt)) draw(stretch, (left, wide) => wide >= SEEN && pause(pen, stretch.why, left, wide, colours));
      draw(attempt, (left, wide) => bar(pen, attempt, left, wide, colours));
    }
    if (chosen) {
      draw(chosen, (left, wide) => {
        pen.strokeStyle = colours.text;
        pen.lineWidth = 2;
        pen.strokeRect(left + 1, 1, Math.max(2, wide - 2), STRIP - 2);
      });
    }
  }, [attempts, away, from, to, width, now, chosen, theme]);
  return html`<canvas ref=${ref} class="strip-canvas" style=${{ width: `${width}px`, height: `${STRIP}px` }} aria-hidden="true"></canvas>`;
});

/** What shapes and lines mean. */
export function Key({ theme }) {
  const pauses = [["loading weights", "loading"], ["waiting for inputs", "waiting for inputs"], ["lost", "lost or gone"], ["drained", "drained, set aside"]];
  return html`<ul class="gantt-key" aria-label="Key">
    ${STAGES.filter((stage) => stage !== "denoise").map((stage) => html`<li key=${stage}><${Sample} theme=${theme} paint=${(pen, colours) => bar(pen, { stage }, 0, 28, colours)} />${stageName(stage)}</li>`)}
    <li><${Sample} theme=${theme} paint=${(pen, colours) => bar(pen, { stage: "denoise_high", result: "failed" }, 0, 28, colours)} />came to nothing</li>
    ${pauses.map(([why, name]) => html`<li key=${why}><${Sample} theme=${theme} paint=${(pen, colours) => pause(pen, why, 0, 28, colours)} />${name}</li>`)}
    <li><${Sample} theme=${theme} paint=${() => {}} />nothing to do</li>
  </ul>`;
}

function Sample({ paint, theme }) {
  const ref = useRef(null);
  useLayoutEffect(() => {
    const canvas = ref.current;
    canvas.width = 56;
    canvas.height = STRIP * 2;
    const pen = canvas.getContext("2d");
    const colours = palette();
    pen.scale(2, 2);
    pen.fillStyle = colours.track;
    pen.fillRect(0, 0, 28, STRIP);
    paint(pen, colours);
  }, [theme]);
  return html`<canvas ref=${ref} class="gantt-sample" aria-hidden="true"></canvas>`;
}
