// What a pointer does on the timeline: points, drags it, and turns a wheel to stretch it.

import { useEffect } from "./vendor/htm-preact.js";
import { moved, zoomed } from "./window-of-time.js";

/** Moved further than this, in pixels, a press is a drag. */
const DRAG = 4;

/**
 * `ref` is the list of rows, `box` as wide as a strip and where it stands; `latest` holds what is shown at present.
 * `choose` hears what is pointed at, `show` which time is shown from now on.
 */
export function useStroke({ ref, box, latest, show, choose, row: height }) {
  useEffect(() => {
    const list = ref.current;
    let pressed = null;
    const timeAt = (event) => {
      const { from, to, width } = latest.current;
      return from + ((event.clientX - box.current.getBoundingClientRect().left) / Math.max(1, width)) * (to - from);
    };
    const point = (event) => {
      const { rows, now, from, to, width } = latest.current;
      const row = rows[Math.floor((event.clientY - list.getBoundingClientRect().top) / height)];
      const at = timeAt(event);
      if (!row || at < from || at > now) return;
      choose(found(row, at, ((to - from) / Math.max(1, width)) * 2, now));
    };
    const down = (event) => {
      if (event.button !== 0) return;
      pressed = { x: event.clientX, shown: latest.current.shown, dragged: false };
      point(event);
    };
    const move = (event) => {
      if (!pressed) {
        if (event.pointerType === "mouse") point(event);
        return;
      }
      const by = event.clientX - pressed.x;
      if (!pressed.dragged && Math.abs(by) < DRAG) return;
      if (!pressed.dragged) list.setPointerCapture(event.pointerId);
      pressed.dragged = true;
      const { width, now } = latest.current;
      show(moved(pressed.shown, (-by / Math.max(1, width)) * pressed.shown.span, now));
    };
    const up = () => {
      pressed = null;
    };
    const wheel = (event) => {
      const { shown, now, width } = latest.current;
      if (event.ctrlKey || event.metaKey) show(zoomed(shown, Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), timeAt(event), now));
      else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) show(moved(shown, (event.deltaX / Math.max(1, width)) * shown.span, now));
      else return;
      event.preventDefault();
    };
    const listeners = [["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up]];
    for (const [name, listener] of listeners) list.addEventListener(name, listener);
    list.addEventListener("wheel", wheel, { passive: false });
    return () => {
      for (const [name, listener] of listeners) list.removeEventListener(name, listener);
      list.removeEventListener("wheel", wheel);
    };
  }, []);
}

/** What a worker did at a moment, give or take a little: an attempt, or nothing between two. */
function found(row, at, slack, now) {
  const { attempts } = row;
  const attempt = attempts.findLast((each) => each.from - slack <= at && at <= Math.min(each.to, now) + slack);
  if (attempt) return { worker: row.id, attempt };
  const before = attempts.findLast((each) => each.to < at);
  const next = attempts.find((each) => each.from > at);
  return { worker: row.id, gap: { at, from: before?.to ?? null, to: next?.from ?? null, next } };
}
