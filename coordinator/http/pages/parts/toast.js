// What came of a click, said once at the foot of the page and to screen readers.

import { html, useEffect, useState } from "../vendor/htm-preact.js";

const SHOWN = 6000;
let said = [];
let number = 0;
let redraw = () => {};

/** Says something. `tone` is `good` or `bad`. */
export function say(text, tone = "good") {
  const id = (number += 1);
  said = [...said.slice(-2), { id, text, tone }];
  redraw();
  setTimeout(() => {
    said = said.filter((line) => line.id !== id);
    redraw();
  }, SHOWN);
}

/** Does something and says how it went. Returns whether it went well. */
export async function attempt(promise, text) {
  try {
    const value = await promise;
    if (text) say(typeof text === "function" ? text(value) : text);
    return true;
  } catch (problem) {
    say(problem.message, "bad");
    return false;
  }
}

export function Toasts() {
  const [, set] = useState(0);
  useEffect(() => {
    redraw = () => set((times) => times + 1);
    return () => {
      redraw = () => {};
    };
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${said.map((line) => html`<p key=${line.id} class="toast" data-tone=${line.tone}>${line.text}</p>`)}
  </div>`;
}
