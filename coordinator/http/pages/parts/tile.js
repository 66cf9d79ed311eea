// One video of a job as a picture with its few facts.

import { html } from "../vendor/htm-preact.js";
import { duration } from "../format.js";
import { memo } from "../memo.js";
import { isSuspect } from "../words.js";
import { Dial, Poster, leftWords } from "./picture.js";
import { Preview } from "./preview.js";

export const Tile = memo(({ job, video, picked, active, onPick, onRatio, position, total, height }) => {
  const address = `/jobs/${job}/videos/${video.index}`;
  const pick = (event) => onPick(video.index, event.shiftKey);
  return html`<div class="tile" role="listitem" aria-setsize=${total} aria-posinset=${position + 1} data-picked=${picked ? "" : undefined} data-index=${video.index}>
    <label class="pick"><input type="checkbox" checked=${picked} tabindex="-1" onClick=${pick} aria-label="Select video ${video.index}" /></label>
    <a class="tile-link" href=${address} tabindex=${active ? 0 : -1} data-focus=${video.index}>
      <span class="tile-picture" data-plain=${video.state === "done" || video.state === "failed" ? undefined : ""} style=${{ height: `${height}px` }}><${Picture} job=${job} video=${video} onRatio=${onRatio} /><${Mark} video=${video} /></span>
      <span class="tile-body">
        <span class="one-line">${video.prompt || "No prompt"}</span>
        <span class="tile-line"><span class="tile-number">${video.index}</span><span class="one-line">${fact(video)}</span></span>
      </span>
    </a>
  </div>`;
});

function Picture({ job, video, onRatio }) {
  if (video.state === "done") return html`<${Poster} job=${job} video=${video} onRatio=${onRatio} />`;
  if (video.state === "running" || video.state === "writing") return html`<${Preview} job=${job} video=${video} /><${Dial} video=${video} />`;
  if (video.state === "failed") return html`<span class="fault two-lines">${video.error}</span>`;
  return html`<span class="idle">${video.state === "waiting" && video.steps_done ? `waiting after step ${video.steps_done}` : video.state}</span>`;
}

function Mark({ video }) {
  if (video.state === "failed") return html`<span class="tile-mark" data-tone="bad">failed</span>`;
  if (isSuspect(video)) return html`<span class="tile-mark" data-tone="warn">${video.verdict}</span>`;
  return null;
}

function fact(video) {
  if (video.state === "done") return video.seconds != null ? duration(video.seconds) : "done";
  if (video.state === "running") return [video.worker, leftWords(video)].filter(Boolean).join(" · ") || "running";
  return video.state;
}
