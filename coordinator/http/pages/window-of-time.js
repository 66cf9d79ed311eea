// The stretch of time that a timeline shows: moved, stretched, and led back to now. Times are in milliseconds.

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
/** Shorter and longer stretches are not shown. */
const SHORTEST = MINUTE;
export const LONGEST = 7 * 24 * HOUR;
/** Between two marks of the axis. */
const STEPS = [10_000, 30_000, MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];
/** Air at the end, so that what is running is seen to go on. */
const AIR = 0.02;

/** A window is `{span, end}`; `end` is null while it ends now. */
export function edges({ span, end }, now) {
  const to = end ?? now + span * AIR;
  return { from: to - span, to };
}

/** Stretched by `factor`, around `at`. */
export function zoomed(shown, factor, at, now) {
  const { from, to } = edges(shown, now);
  const span = Math.min(LONGEST, Math.max(SHORTEST, shown.span * factor));
  const share = (at - from) / (to - from);
  return kept({ span, end: at - share * span + span }, now);
}

/** Moved by so many milliseconds. */
export function moved(shown, by, now) {
  return kept({ ...shown, end: edges(shown, now).to + by }, now);
}

/** One that holds a moment. */
export function holding(shown, at, now) {
  const { from, to } = edges(shown, now);
  if (at >= from && at <= to) return shown;
  return kept({ ...shown, end: at + shown.span / 2 }, now);
}

/** Nothing is known of the future: what reaches there ends now. */
function kept({ span, end }, now) {
  return { span, end: end >= now ? null : end };
}

/** The moments that an axis of so many pixels marks, by the clock of whoever looks. */
export function marks({ from, to }, width) {
  const wanted = (to - from) / Math.max(1, width / 90);
  const step = STEPS.find((each) => each >= wanted) || STEPS[STEPS.length - 1];
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return { step, at: found };
}
