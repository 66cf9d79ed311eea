// The colours of the style sheet as a canvas takes them, and news of when they change.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { STAGES } from "./words.js";

const NAMES = { track: "raised", surface: "surface", text: "text", muted: "muted", faint: "faint", accent: "accent", warn: "warn", bad: "bad-fill" };
const dark = matchMedia("(prefers-color-scheme: dark)");
let known = null;

/** Colours by name, those of stages among them. */
export function palette() {
  if (known) return known;
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  known = Object.fromEntries(Object.entries(NAMES).map(([name, variable]) => [name, colour(variable)]));
  for (const stage of STAGES) known[stage] = colour(`stage-${stage}`);
  probe.remove();
  return known;
}

/** A number that changes with the theme. */
export function useTheme() {
  const [theme, set] = useState(0);
  useEffect(() => {
    const turn = () => {
      known = null;
      set((times) => times + 1);
    };
    const watcher = new MutationObserver(turn);
    watcher.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    dark.addEventListener("change", turn);
    turn();
    return () => {
      watcher.disconnect();
      dark.removeEventListener("change", turn);
    };
  }, []);
  return theme;
}
