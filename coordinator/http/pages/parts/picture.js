// What a video looks like, wherever it is shown small: its first frame when it is done, else where it stands.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { duration } from "../format.js";
import { useLive } from "../live.js";
import { stageName } from "../words.js";

/** Pictures smaller than this are shown with their pixels, not blurred. */
const TINY = 160;
/** The pointer has to rest so long before a video moves. */
const REST = 180;

/** Marks pictures whose pixels should be seen. Works for images and videos. */
export function markTiny(event) {
  const side = event.target.naturalHeight || event.target.videoHeight;
  event.target.classList.toggle("tiny", side > 0 && side <= TINY);
}

/** True when a finished video has a file of this kind. */
export function hasFile(video, ending) {
  return video.files.some((file) => file.toLowerCase().endsWith(`.${ending}`));
}

/** The first frame. `onRatio` learns the picture's shape. */
export function Picture({ job, video, onRatio, label = "" }) {
  const { connections } = useLive();
  const [gone, setGone] = useState(null);
  if (gone === connections) return html`<span class="idle">no picture</span>`;
  const loaded = (event) => {
    markTiny(event);
    onRatio?.(event.target.naturalWidth / event.target.naturalHeight);
  };
  // Not to be had now: with the next connection it may be.
  return html`<img key=${connections} src="${path("jobs", job, "videos", video.index)}/poster.jpg" alt=${label} loading="lazy" decoding="async" onLoad=${loaded} onError=${() => setGone(connections)} />`;
}

/** The first frame, and the video itself while the pointer rests on it. */
export function Poster({ job, video, onRatio }) {
  const [playing, play] = useState(false);
  const timer = useRef(0);
  const still = matchMedia("(prefers-reduced-motion: reduce), (hover: none)").matches;
  const enter = () => {
    if (!still && hasFile(video, "mp4")) timer.current = setTimeout(() => play(true), REST);
  };
  const leave = () => {
    clearTimeout(timer.current);
    play(false);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<span class="poster" onMouseEnter=${enter} onMouseLeave=${leave}>
    <${Picture} job=${job} video=${video} onRatio=${onRatio} />
    ${playing && html`<video src="${path("jobs", job, "videos", video.index)}/video.mp4" muted loop autoplay playsinline onLoadedMetadata=${markTiny}></video>`}
  </span>`;
}

/** How far a video that is being computed has come. */
export function Dial({ video }) {
  const steps = video.steps || 0;
  const denoises = video.stage?.startsWith("denoise") && steps > 0;
  const share = steps ? video.steps_done / steps : 0;
  const name = video.state === "writing" ? "Writing" : stageName(video.stage);
  return html`<span class="dial">
      <b>${denoises ? html`${video.steps_done}<small> / ${steps}</small>` : name}</b>
      <span>${denoises ? name : steps && video.steps_done ? `${video.steps_done} of ${steps} steps` : "in work"}</span>
    </span>
    <span class="picture-meter" role="img" aria-label="${video.steps_done} of ${steps} steps"><i style=${{ transform: `scaleX(${share})` }}></i></span>`;
}

/** Seconds that the remaining steps of a running video take at the pace of its last one, in words where they are known. */
export function leftWords(video) {
  if (!video.seconds_per_step || !video.steps) return null;
  const seconds = (video.steps - video.steps_done) * video.seconds_per_step;
  return seconds > 0 ? `${duration(seconds)} left` : null;
}
