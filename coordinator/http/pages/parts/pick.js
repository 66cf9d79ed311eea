// Which videos of a list are selected, by mouse as in file managers: a click takes one, with Shift all up to it.

import { useCallback, useRef, useState } from "../vendor/htm-preact.js";

export function usePicks() {
  const [picked, set] = useState(() => new Set());
  const last = useRef(null);

  /** Takes or drops one; with `range` all of `order` from the one before. */
  const toggle = useCallback((index, range, order) => {
    set((before) => {
      const next = new Set(before);
      const take = !before.has(index);
      const from = range && last.current != null ? order.indexOf(last.current) : -1;
      const to = order.indexOf(index);
      const between = from >= 0 && to >= 0 ? order.slice(Math.min(from, to), Math.max(from, to) + 1) : [index];
      for (const each of between) {
        if (take) next.add(each);
        else next.delete(each);
      }
      last.current = index;
      return next;
    });
  }, []);
  const all = useCallback((order) => set(new Set(order)), []);
  const none = useCallback(() => set((before) => (before.size ? new Set() : before)), []);
  return { picked, toggle, all, none };
}
