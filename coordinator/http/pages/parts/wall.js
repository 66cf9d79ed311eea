// What is being rendered now: a tile for each worker that computes.

import { html } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { byName, plural } from "../format.js";
import { useResource } from "../store.js";
import { stageName } from "../words.js";
import { Dial, leftWords } from "./picture.js";
import { Preview } from "./preview.js";

/** More tiles than this tell nobody anything. */
const SHOWN = 24;

export function Wall({ workers }) {
  const busy = workers.filter((worker) => worker.running);
  if (!busy.length) return null;
  // By name, so that tiles stay where they are while videos come and go.
  const sorted = [...busy].sort((a, b) => byName(a.name, b.name));
  return html`<section class="section">
    <div class="section-head"><h2>Rendering now</h2><span class="small">${plural(busy.length, "worker")}</span></div>
    <div class="wall">${sorted.slice(0, SHOWN).map((worker) => html`<${RunningTile} key=${worker.id} worker=${worker} />`)}</div>
    ${busy.length > SHOWN && html`<p class="small wall-more"><a href="/machines?state=busy">and ${plural(busy.length - SHOWN, "more worker")}</a></p>`}
  </section>`;
}

function RunningTile({ worker }) {
  const { running } = worker;
  const [job, index] = running.video.split("/");
  const { value } = useResource(path("jobs", job, "videos", index));
  const video = { ...value, ...running, seconds_per_step: value?.seconds_per_step };
  return html`<a class="tile" href="/jobs/${job}/videos/${index}">
    <span class="tile-picture wall-picture" data-plain><${Preview} job=${job} video=${{ ...video, index: Number(index) }} /><${Dial} video=${video} /></span>
    <span class="tile-body">
      <span class="two-lines prompt-line">${value?.prompt || `Video ${running.video}`}</span>
      <span class="tile-line"><span class="one-line">${worker.name}</span><span class="one-line">${leftWords(video) || stageName(running.stage)}</span></span>
    </span>
  </a>`;
}
