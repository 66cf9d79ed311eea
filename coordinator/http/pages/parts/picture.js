// What a video looks like, wherever it is shown small: its first frame when it is done, else where it stands.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { firstFrame } from "../first-frames.js";
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

/** The address of a picture of a finished video, where one is served. */
function pictureOf(base, video) {
  if (hasFile(video, "mp4")) return null;
  if (hasFile(video, "gif")) return `${base}/video.gif`;
  // A folder of frames has no ending.
  const frames = video.files.find((file) => !/\.\w+$/.test(file));
  if (frames) return `${base}/files/${video.output.split("/").map(encodeURIComponent).join("/")}/00000.png`;
  return hasFile(video, "contact.png") ? `${base}/contact.png` : null;
}

/** The first frame. `onRatio` learns the picture's shape. */
export function Picture({ job, video, onRatio, label = "" }) {
  const { connections } = useLive();
  const [gone, setGone] = useState(null);
  const base = path("jobs", job, "videos", video.index);
  const src = pictureOf(base, video);
  if (gone === connections || (!src && !hasFile(video, "mp4"))) return html`<span class="idle">no picture</span>`;
  // Not to be had now: with the next connection it may be.
  const lost = () => setGone(connections);
  if (!src) return html`<${FirstFrame} key=${connections} url="${base}/video.mp4" onRatio=${onRatio} onLost=${lost} label=${label} />`;
  const loaded = (event) => {
    markTiny(event);
    onRatio?.(event.target.naturalWidth / event.target.naturalHeight);
  };
  return html`<img key=${connections} src=${src} alt=${label} loading="lazy" decoding="async" onLoad=${loaded} onError=${lost} />`;
}

function FirstFrame({ url, onRatio, onLost, label }) {
  const canvas = useRef(null);
  useEffect(() => {
    let shown = true;
    firstFrame(url, () => shown).then(
      ({ bitmap, width, height }) => {
        if (!shown) return;
        const place = canvas.current;
        place.width = bitmap.width;
        place.height = bitmap.height;
        place.classList.toggle("tiny", height <= TINY);
        place.getContext("2d").drawImage(bitmap, 0, 0);
        onRatio?.(width / height);
      },
      () => shown && onLost(),
    );
    return () => {
      shown = false;
    };
  }, [url]);
  return html`<canvas ref=${canvas} width="0" height="0" role=${label ? "img" : undefined} aria-label=${label || undefined}></canvas>`;
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
