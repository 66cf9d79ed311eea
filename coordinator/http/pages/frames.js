// A video as its frames: which one is shown, and how to show another. Browsers know times only.

/** Frames per second as the farm writes it: a number, or a fraction as text. */
export function rate(fps) {
  if (typeof fps === "number") return fps;
  const [over, under = 1] = String(fps || "").split("/").map(Number);
  return over > 0 && under > 0 ? over / under : null;
}

/** The frame at a time. */
export function frameAt(seconds, fps, frames) {
  return Math.max(0, Math.min(frames - 1, Math.floor(seconds * fps + 1e-3)));
}

/** The middle of a frame, where no rounding leads to its neighbour. */
export function timeOf(frame, fps) {
  return (frame + 0.5) / fps;
}
