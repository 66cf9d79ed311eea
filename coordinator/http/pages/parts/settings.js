// What a video was asked to be, setting by setting.

import { html } from "../vendor/htm-preact.js";
import { trim } from "../format.js";
import { rate } from "../frames.js";
import { manifestOf } from "../manifest-text.js";
import { Icon } from "./icon.js";
import { attempt } from "./toast.js";

export function Settings({ spec, name }) {
  const fps = rate(spec.fps);
  const seconds = fps ? spec.frames / fps : null;
  const rows = [
    ["Model", spec.model],
    ["Seed", spec.seed],
    ["Size", `${spec.width} × ${spec.height}`],
    ["Length", `${spec.frames} frames at ${spec.fps} fps${seconds ? `, ${trim(seconds)} s` : ""}`],
    ["Steps", `${spec.steps}, ${spec.solver}, shift ${spec.shift}`],
    ["Guidance", spec.guidance.high === spec.guidance.low ? spec.guidance.high : `${spec.guidance.high} high, ${spec.guidance.low} low`],
    spec.nag && ["NAG", `scale ${spec.nag.scale}, tau ${spec.nag.tau}, alpha ${spec.nag.alpha}`],
    ["Negative", spec.negative || "none"],
    spec.decode?.tiny && ["Decoded by", "a tiny VAE, for drafts"],
    spec.cache && spec.cache.kind !== "none" && ["Step cache", spec.cache.kind],
    spec.loras?.length > 0 && ["LoRA", spec.loras.map((lora) => `${lora.name} × ${lora.strength}`).join(", ")],
    spec.image && [spec.overlap ? `First ${spec.overlap} frames` : "First frame", spec.image.slice(0, 16)],
    spec.last_image && ["Last frame", spec.last_image.slice(0, 16)],
    spec.video && ["Clip", `${spec.video.slice(0, 16)}, strength ${spec.strength}`],
  ].filter(Boolean);
  const copy = () => attempt(copyText(manifestOf(spec, name)), "Copied as a manifest");
  return html`<section class="card panel" aria-labelledby="settings-title">
    <div class="panel-head"><h2 id="settings-title">Settings</h2><button class="button small" onClick=${copy}><${Icon} name="copy" />Copy as manifest</button></div>
    <dl class="settings">${rows.map(([key, value]) => html`<dt key=${key}>${key}</dt><dd>${value}</dd>`)}</dl>
  </section>`;
}

/** Copies a text, also where the page is not served over TLS and browsers keep the clipboard from it. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("This browser does not let the page copy");
}
