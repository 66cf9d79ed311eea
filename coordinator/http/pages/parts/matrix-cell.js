// The videos of one pair of values: the first as a picture, and how many there are.

import { html } from "../vendor/htm-preact.js";
import { memo } from "../memo.js";
import { isSuspect, whereItStands } from "../words.js";
import { Picture } from "./picture.js";
import { Preview } from "./preview.js";
import { State } from "./state.js";

export const MatrixCell = memo(({ job, video, several, done, at, active, label }) => {
  const tabindex = active ? 0 : -1;
  if (!video) return html`<span class="matrix-empty" tabindex=${tabindex} data-cell=${at} aria-label="${label}: no video">–</span>`;
  const words = several > 1 ? `${done} of ${several} done` : isSuspect(video) && video.state === "done" ? `done, ${video.verdict}` : whereItStands(video).toLowerCase();
  return html`<a class="matrix-link" href="/jobs/${job}/videos/${video.index}" tabindex=${tabindex} data-cell=${at} aria-label="${label}: ${words}" title=${video.prompt}>
    <span class="tile-picture" data-plain=${video.state === "done" || video.state === "failed" ? undefined : ""}>
      ${video.state === "done" && html`<${Picture} job=${job} video=${video} />`}
      ${(video.state === "running" || video.state === "writing") && html`<${Preview} job=${job} video=${video} />`}
      ${several > 1 && html`<span class="tile-mark">${several} videos</span>`}
    </span>
    <${State} state=${video.state} label=${words} />
  </a>`;
});
