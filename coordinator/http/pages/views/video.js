// One video: to look at frame by frame, with what it was asked to be and how it came about.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { bytes, duration, fileName } from "../format.js";
import { rate } from "../frames.js";
import { Attempts, attemptWords } from "../parts/attempts.js";
import { Icon } from "../parts/icon.js";
import { isTyping } from "../parts/keys.js";
import { Dial, Picture, hasFile, leftWords, markTiny } from "../parts/picture.js";
import { Preview } from "../parts/preview.js";
import { Player } from "../parts/player.js";
import { Missing } from "../parts/problem.js";
import { Quality } from "../parts/quality.js";
import { Settings } from "../parts/settings.js";
import { State } from "../parts/state.js";
import { VideoActions } from "../parts/video-actions.js";
import { go } from "../router.js";
import { useResource } from "../store.js";
import { useTitle } from "../title.js";
import { jobTitle, whereItStands } from "../words.js";

export function Video({ job: id, video: index }) {
  const url = path("jobs", id, "videos", index);
  const found = useResource(url);
  const jobs = useResource(path("jobs"));
  const video = found.value;
  const done = video?.state === "done";
  const sidecar = useResource(done ? `${url}/sidecar.json` : null).value;
  const job = jobs.value?.jobs.find((each) => String(each.job) === id);
  useTitle(video && `Video ${index}`);
  useNeighbours(id, Number(index), job?.videos);
  if (!video) return html`<${Missing} problem=${found.problem} what="video" />`;
  const spec = sidecar?.spec || video.spec;
  const attempts = video.attempts || sidecar?.attempts || [];
  return html`
    <div class="page-head">
      <div class="page-title">
        <p class="crumbs"><a href="/">Tonight</a><${Icon} name="chevron" /><a href="/jobs/${id}">${job ? jobTitle(job) : `Job ${id}`}</a><${Icon} name="chevron" /><span>Video ${index}</span></p>
        <h1 class="prompt">${video.prompt || "No prompt"}</h1>
        <p class="facts"><${State} state=${video.state} label=${whereItStands(video)} />${video.worker && html`<span>${video.worker}</span>`}
          ${leftWords(video) && video.state === "running" && html`<span>${leftWords(video)}</span>`}
          ${video.seconds != null && html`<span>${duration(video.seconds)} of computing</span>`}
          ${video.verdict && video.verdict !== "ok" && html`<span class="warn">looks ${video.verdict}</span>`}</p>
      </div>
      <div class="actions"><${VideoActions} job=${id} video=${video} /><${Neighbours} id=${id} index=${Number(index)} total=${job?.videos} /></div>
    </div>
    <div class="video-page">
      <div>
        <${Stage} job=${id} url=${url} video=${video} spec=${spec} />
        ${video.error && html`<section class="card panel below" aria-labelledby="error-title"><h2 id="error-title">What went wrong</h2><p class="error-text">${video.error}</p></section>`}
        ${attempts.length > 0 && html`<section class="card panel below" aria-labelledby="attempts-title"><div class="panel-head"><h2 id="attempts-title">How it came about</h2><span class="small muted">${attemptWords(attempts)}</span></div><${Attempts} attempts=${attempts} /></section>`}
      </div>
      <div class="side">
        ${video.notes.length > 0 && html`<section class="card panel" aria-label="Notes">${video.notes.map((note) => html`<p key=${note} class="small warn">${note}</p>`)}</section>`}
        ${spec && html`<${Settings} spec=${spec} name=${job ? jobTitle(job) : "again"} />`}
        ${sidecar?.quality && html`<${Quality} quality=${sidecar.quality} />`}
        <${Files} url=${url} video=${video} sidecar=${sidecar} />
      </div>
    </div>`;
}

/** What there is to see: the video itself, or how far it has come. */
function Stage({ job, url, video, spec }) {
  if (video.state === "done" && hasFile(video, "mp4")) {
    return html`<${Player} src="${url}/video.mp4" fps=${rate(spec?.fps)} frames=${spec?.frames} label=${video.prompt} />`;
  }
  if (video.state === "done") {
    const moving = hasFile(video, "gif") && html`<img src="${url}/video.gif" alt=${video.prompt} onLoad=${markTiny} />`;
    return html`<div class="player"><div class="player-picture still">${moving || html`<${Picture} job=${job} video=${video} label="First frame" />`}</div></div>`;
  }
  if (video.state === "running" || video.state === "writing") {
    return html`<div class="tile"><span class="tile-picture big-picture" data-plain><${Preview} job=${job} video=${video} /><${Dial} video=${video} /></span></div>`;
  }
  return html`<div class="tile"><span class="tile-picture big-picture" data-plain><span class="idle">${whereItStands(video)}</span></span></div>`;
}

function Files({ url, video, sidecar }) {
  const outputs = sidecar?.outputs;
  if (!outputs?.length && !video.files.length) {
    return html`<section class="card panel" aria-label="Files"><h2>Files</h2><p class="small muted digest-path">will be ${video.output}</p></section>`;
  }
  return html`<section class="card panel" aria-labelledby="files-title">
    <div class="panel-head"><h2 id="files-title">Files</h2>${hasFile(video, "mp4") && html`<a class="button small" href="${url}/video.mp4" download=${fileName(video.output) + ".mp4"}><${Icon} name="download" />Download</a>`}</div>
    <ul class="files">${outputs
      ? outputs.map((file) => html`<li key=${file.path}><span class="digest-path">${file.path} <span class="muted">${bytes(file.bytes)}</span></span><span class="digest" title="BLAKE3">${file.blake3}</span>${file.note && html`<span class="warn">${file.note}</span>`}</li>`)
      : video.files.map((file) => html`<li key=${file}><span class="digest-path">${file}</span></li>`)}</ul>
  </section>`;
}

function Neighbours({ id, index, total }) {
  const to = (next) => `/jobs/${id}/videos/${next}`;
  return html`<nav class="neighbours" aria-label="Videos">
    ${index > 0 && html`<a class="button icon-only" href=${to(index - 1)} aria-label="Previous video" title="Previous video (k)"><span class="flip"><${Icon} name="chevron" /></span></a>`}
    ${total != null && index + 1 < total && html`<a class="button icon-only" href=${to(index + 1)} aria-label="Next video" title="Next video (j)"><${Icon} name="chevron" /></a>`}
  </nav>`;
}

function useNeighbours(id, index, total) {
  const latest = useRef({});
  latest.current = { id, index, total };
  useEffect(() => {
    const hear = (event) => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      const now = latest.current;
      if (event.key === "j" && now.total != null && now.index + 1 < now.total) go(`/jobs/${now.id}/videos/${now.index + 1}`);
      if (event.key === "k" && now.index > 0) go(`/jobs/${now.id}/videos/${now.index - 1}`);
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
}
