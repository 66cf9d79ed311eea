// Two videos of a job side by side, in step.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { frameAt, rate, timeOf } from "../frames.js";
import { Icon } from "../parts/icon.js";
import { isTyping } from "../parts/keys.js";
import { hasFile, markTiny } from "../parts/picture.js";
import { Missing } from "../parts/problem.js";
import { State } from "../parts/state.js";
import { useAddress } from "../router.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";

export function Compare({ job: id }) {
  const { query } = useAddress();
  const a = useSide(id, query.get("a"));
  const b = useSide(id, query.get("b"));
  useTitle("Compare");
  if (!a.video || !b.video) return html`<${Missing} problem=${a.problem || b.problem} what="video" />`;
  return html`
    <div class="page-head"><div class="page-title">
      <p class="crumbs"><a href="/">Tonight</a><${Icon} name="chevron" /><a href="/jobs/${id}">Job ${id}</a><${Icon} name="chevron" /><span>Compare</span></p>
      <h1>Videos ${a.video.index} and ${b.video.index}</h1>
    </div></div>
    <${Both} id=${id} a=${a} b=${b} />`;
}

function useSide(id, index) {
  const url = index == null ? null : path("jobs", id, "videos", index);
  const { value, problem } = useResource(url);
  const sidecar = useResource(value?.state === "done" ? `${url}/sidecar.json` : null).value;
  return { url, video: value, problem, spec: sidecar?.spec };
}

/** The first one leads; the second is held at the same frame. */
function Both({ id, a, b }) {
  const lead = useRef(null);
  const other = useRef(null);
  const [playing, setPlaying] = useState(false);
  const [frame, setFrame] = useState(0);
  const fps = rate(a.spec?.fps) || 24;
  const total = Math.max(1, Math.min(a.spec?.frames || Infinity, b.spec?.frames || Infinity));
  const frames = Number.isFinite(total) ? total : 1;
  const ready = [a, b].every((side) => side.video.state === "done" && hasFile(side.video, "mp4"));
  const seek = (to) => {
    const next = Math.max(0, Math.min(frames - 1, to));
    for (const video of [lead.current, other.current]) {
      video?.pause();
      if (video) video.currentTime = timeOf(next, fps);
    }
    setFrame(next);
  };
  const toggle = () => {
    if (playing) {
      seek(frame);
      return;
    }
    lead.current?.play().catch(() => {});
    other.current?.play().catch(() => {});
  };
  useEffect(() => {
    if (!playing) return undefined;
    let handle = 0;
    const follow = () => {
      const first = lead.current;
      const second = other.current;
      if (first && second) {
        setFrame(frameAt(first.currentTime, fps, frames));
        // They drift when one of them decodes slower, and at the end of a loop.
        if (Math.abs(first.currentTime - second.currentTime) > 1.5 / fps) second.currentTime = first.currentTime;
      }
      handle = requestAnimationFrame(follow);
    };
    handle = requestAnimationFrame(follow);
    return () => cancelAnimationFrame(handle);
  }, [playing, fps, frames]);
  const latest = useRef({});
  latest.current = { toggle, seek, frame };
  useEffect(() => {
    const hear = (event) => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || document.activeElement?.tagName === "INPUT") return;
      const now = latest.current;
      if (event.key === " " && document.activeElement?.tagName !== "BUTTON") {
        event.preventDefault();
        now.toggle();
      }
      if (event.key === "ArrowLeft") now.seek(now.frame - 1);
      if (event.key === "ArrowRight") now.seek(now.frame + 1);
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
  return html`
    <div class="compare">
      <${Side} id=${id} side=${a} video=${lead} onPlay=${() => setPlaying(true)} onPause=${() => setPlaying(false)} />
      <${Side} id=${id} side=${b} video=${other} />
    </div>
    ${ready && html`<div class="card controls compare-controls" role="group" aria-label="Both players">
      <button class="button quiet small icon-only" onClick=${() => seek(frame - 1)} aria-label="One frame back"><${Icon} name="back" /></button>
      <button class="button quiet small icon-only" onClick=${toggle} aria-label=${playing ? "Pause" : "Play"}><${Icon} name=${playing ? "pause" : "play"} /></button>
      <button class="button quiet small icon-only" onClick=${() => seek(frame + 1)} aria-label="One frame on"><${Icon} name="forward" /></button>
      <input class="seek" type="range" min="0" max=${frames - 1} value=${frame} onInput=${(event) => seek(Number(event.target.value))} aria-label="Frame" aria-valuetext="Frame ${frame + 1} of ${frames}" />
      <span class="at">${frame + 1} / ${frames}</span>
    </div>`}
    ${a.spec && b.spec && html`<${Differences} a=${a.spec} b=${b.spec} />`}`;
}

function Side({ id, side, video, onPlay, onPause }) {
  const row = side.video;
  const shown = row.state === "done" && hasFile(row, "mp4");
  return html`<figure>
    <div class="player"><div class="player-picture">${shown
      ? html`<video ref=${video} src="${side.url}/video.mp4" muted loop playsinline preload="auto" aria-label="Video ${row.index}" onLoadedMetadata=${markTiny} onPlay=${onPlay} onPause=${onPause}></video>`
      : html`<${State} state=${row.state} />`}</div></div>
    <figcaption class="small below-caption"><a href="/jobs/${id}/videos/${row.index}">Video ${row.index}</a> <span class="muted">${row.prompt}</span></figcaption>
  </figure>`;
}

/** The settings in which the two differ. */
function Differences({ a, b }) {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => key !== "output" && JSON.stringify(a[key]) !== JSON.stringify(b[key]));
  if (!keys.length) return null;
  const show = (value) => (value != null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–"));
  return html`<section class="section"><h2>What differs</h2><div class="scroll-x" tabindex="0" role="region" aria-label="Settings that differ"><table class="figures">
    <thead><tr><th scope="col">Setting</th><th scope="col">First</th><th scope="col">Second</th></tr></thead>
    <tbody>${keys.map((key) => html`<tr key=${key}><th scope="row">${key}</th><td>${show(a[key])}</td><td>${show(b[key])}</td></tr>`)}</tbody>
  </table></div></section>`;
}
