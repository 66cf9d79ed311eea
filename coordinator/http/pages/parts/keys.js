// What the keyboard does, shown by `?`, and the keys that lead from page to page.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { go } from "../router.js";
import { Dialog } from "./dialog.js";

const ALL = [
  [["g", "t"], "Tonight"],
  [["g", "m"], "Machines"],
  [["g", "l"], "Timeline"],
  [["g", "h"], "History"],
  [["g", "s"], "Submit"],
  [["?"], "This list"],
];
const JOB = [
  [["←", "→", "↑", "↓"], "Move among the videos"],
  [["Enter"], "Open the video"],
  [["Space"], "Select it"],
  [["Shift", "Space"], "Select up to it"],
  [["Ctrl", "A"], "Select all that are shown"],
  [["Esc"], "Select none"],
  [["/"], "Search the prompts"],
];
const VIDEO = [
  [["Space"], "Play or pause"],
  [["←", "→"], "One frame back or on"],
  [["Home", "End"], "First or last frame"],
  [["j", "k"], "Next or previous video"],
];

const TIMELINE = [
  [["←", "→"], "The attempt before or after"],
  [["↑", "↓"], "The worker above or below"],
  [["+", "-"], "Less or more time"],
  [["Shift", "←"], "Earlier"],
  [["Home", "End"], "All of the time, or now"],
  [["Enter"], "Open the video"],
];

/** True while keys belong to a field or a dialog. */
export function isTyping(event) {
  return Boolean(event.target.closest?.("input:not([type=checkbox]):not([type=range]), textarea, select, dialog")) || event.isComposing;
}

export function Keys({ path }) {
  const [open, set] = useState(false);
  useEffect(() => {
    let led = 0;
    const hear = (event) => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      const pages = { t: "/", m: "/machines", l: "/timeline", h: "/history", s: "/submit" };
      if (event.key === "?") set(true);
      else if (event.key === "g") led = Date.now();
      else if (pages[event.key] && Date.now() - led < 1200) go(pages[event.key]);
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
  if (!open) return null;
  const own = /^\/jobs\/[^/]+\/videos\//.test(path) ? VIDEO : /^\/jobs\/[^/]+$/.test(path) ? JOB : path === "/timeline" ? TIMELINE : [];
  return html`<${Dialog} title="Keyboard" onClose=${() => set(false)}>
    <div class="keys">
      ${[...own, ...ALL].map(([keys, what]) => html`<span key=${what}>${keys.map((key) => html`<kbd key=${key}>${key}</kbd> `)}</span><span>${what}</span>`)}
    </div>
    <div class="dialog-actions"><button class="button" onClick=${() => set(false)}>Close</button></div>
  <//>`;
}
