// What stands in the place of a page's content when the coordinator refuses it, or is still being asked.

import { html } from "../vendor/htm-preact.js";

export function Missing({ problem, what }) {
  if (!problem) return html`<div class="waiting" role="status"><span class="visually-hidden">Loading ${what}</span></div>`;
  const title = problem.status === 404 ? `There is no such ${what}` : problem.message;
  const text = problem.isSilence
    ? "The page asks again every two seconds and goes on by itself."
    : problem.status === 404
      ? problem.message
      : problem.title;
  return html`<div class="empty">
    <h1>${title}</h1>
    <p>${text}</p>
    <p><a href="/">Go to tonight</a></p>
  </div>`;
}
