// What a batch will take, before it is submitted.

import { html } from "../vendor/htm-preact.js";
import { bytes, clock, count, day, duration, plural, trim } from "../format.js";
import { stageName } from "../words.js";
import { Icon } from "./icon.js";

const BASES = { measured: "measured", scaled: "from another size", expected: "expected of the chip", none: "not known" };

export function Forecast({ forecast }) {
  const { seconds } = forecast;
  const end = seconds != null ? new Date(Date.now() + seconds * 1000) : null;
  const warnings = [
    forecast.taken,
    forecast.waiting_for && `It would wait for ${forecast.waiting_for}`,
    ...(forecast.faults || []).map((fault) => `Video ${fault.index}: ${fault.why}`),
    ...(forecast.shortages || []).map(shortage),
    ...(forecast.notes || []),
    !forecast.model_known && "No worker has announced the model yet",
  ].filter(Boolean);
  return html`<section class="card panel" aria-labelledby="forecast-title">
    <h2 id="forecast-title">If it starts now</h2>
    <p class="forecast-clock">${end ? html`<b>${clock(end)}</b> <span class="muted">${day(end)} · in ${duration(seconds)}</span>` : html`<b>${plural(forecast.videos, "video")}</b>`}</p>
    ${end && html`<p class="small muted">${plural(forecast.videos, "video")}${forecast.model ? ` with ${forecast.model}` : ""}${forecast.left_out ? `, ${forecast.left_out} left out` : ""}${forecast.renamed ? `, ${forecast.renamed} renamed` : ""}</p>`}
    ${warnings.map((text) => html`<p key=${text} class="small forecast-note"><${Icon} name="alert" />${text}</p>`)}
    ${forecast.stages?.length > 0 && html`<table class="figures forecast-stages"><thead><tr><th scope="col">Stage</th><th scope="col" class="number">Units</th><th scope="col" class="number">Workers</th><th scope="col" class="number">Each</th><th scope="col" class="number">Alone</th></tr></thead>
      <tbody>${forecast.stages.map((stage) => html`<tr key=${stage.stage}><th scope="row">${stageName(stage.stage)}${stage.stage === forecast.bottleneck ? html` <span class="tag">longest</span>` : ""}</th>
        <td class="number">${count(stage.units)}</td><td class="number">${stage.workers}</td><td class="number" title=${BASES[stage.basis]}>${stage.seconds_per_unit == null ? "–" : `${trim(stage.seconds_per_unit)} s`}</td><td class="number">${duration(stage.seconds)}</td></tr>`)}</tbody></table>`}
    ${forecast.balance?.high_workers && html`<p class="small muted">The workers there are, best divided: ${forecast.balance.high_workers} dit-high to ${forecast.balance.low_workers} dit-low</p>`}
    ${forecast.speedups?.map((text) => html`<p key=${text} class="small muted">${text}</p>`)}
  </section>`;
}

/** A disk with less room than the job needs. */
function shortage({ place, needs_bytes: needs, free_bytes: free, certain }) {
  return `It ${certain ? "needs" : "probably needs"} about ${bytes(needs)} in ${place}, where ${bytes(free)} are free`;
}
