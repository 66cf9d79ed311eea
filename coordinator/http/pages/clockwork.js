// The time, for what counts down: one timer for the whole page, none while nobody looks.

import { useEffect, useState } from "./vendor/htm-preact.js";

const listeners = new Set();
let timer = null;

function beat() {
  for (const listener of [...listeners]) listener();
}

function wind() {
  const wanted = listeners.size > 0 && !document.hidden;
  if (wanted && !timer) timer = setInterval(beat, 1000);
  if (!wanted && timer) {
    clearInterval(timer);
    timer = null;
  }
}

/** Milliseconds since 1970, renewed every second. */
export function useNow() {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const listener = () => set(Date.now());
    listeners.add(listener);
    wind();
    return () => {
      listeners.delete(listener);
      wind();
    };
  }, []);
  return now;
}

document.addEventListener("visibilitychange", () => {
  wind();
  if (!document.hidden) beat();
});
