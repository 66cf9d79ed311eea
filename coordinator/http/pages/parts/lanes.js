// Where the work is: for each stage, who can do it and who is doing it now.

import { html } from "../vendor/htm-preact.js";
import { count, percent } from "../format.js";
import { STAGES, assignedRoles, isGone, stageName, stageRole } from "../words.js";

/** Up to so many workers are drawn one by one; of more, a bar tells the share. */
const CELLS = 48;

export function Lanes({ workers }) {
  const here = workers.filter((worker) => !isGone(worker) && worker.state !== "lost");
  const lanes = STAGES.map((stage) => lane(stage, here)).filter((each) => each.able > 0 || each.busy > 0);
  if (!lanes.length) return null;
  const busy = here.filter((worker) => worker.running).length;
  return html`<div class="lanes" role="group" aria-label="Work by stage">
    <div class="lanes-title"><h2>${count(busy)} of ${count(here.length)} workers computing</h2></div>
    ${lanes.map((each) => html`<${Lane} key=${each.stage} ...${each} />`)}
  </div>`;
}

/** Of a stage: how many workers can do it, and how many do. */
function lane(stage, workers) {
  const role = stageRole(stage);
  const able = workers.filter((worker) => assignedRoles(worker).includes(role)).length;
  const busy = workers.filter((worker) => worker.running?.stage === stage).length;
  return { stage, able, busy };
}

function Lane({ stage, able, busy }) {
  const words = `${count(busy)} of ${count(able)}`;
  return html`<div class="lane">
    <span class="lane-name">${stageName(stage)}</span>
    ${able <= CELLS
      ? html`<span class="cells" role="img" aria-label=${words}>${Array.from({ length: able }, (_, at) => html`<i key=${at} data-busy=${at < busy ? "" : undefined} style=${{ "--stage": `var(--stage-${stage})` }}></i>`)}</span>`
      : html`<span class="lane-bar" role="img" aria-label="${percent(busy / able)} of the workers"><i style=${{ transform: `scaleX(${busy / able})`, "--stage": `var(--stage-${stage})` }}></i></span>`}
    <span class="lane-note">${words}</span>
  </div>`;
}
