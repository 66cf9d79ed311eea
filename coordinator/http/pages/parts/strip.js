// A video at a glance: some of its frames in a row, read from the video itself.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { timeOf } from "../frames.js";

const CELLS = 9;
/** Width of a drawn frame: small, as many stand side by side. */
const WIDTH = 192;

export function Strip({ src, fps, frames, onSeek }) {
  const cells = Math.min(CELLS, frames);
  const places = Array.from({ length: cells }, (_, cell) => Math.round((cell * (frames - 1)) / Math.max(1, cells - 1)));
  const canvases = useRef([]);
  const [drawn, setDrawn] = useState(0);
  useEffect(() => {
    let stopped = false;
    const video = document.createElement("video");
    video.muted = true;
    video.preload = "auto";
    video.src = src;
    const draw = async () => {
      await once(video, "loadeddata");
      for (let cell = 0; cell < cells && !stopped; cell += 1) {
        video.currentTime = Math.min(timeOf(places[cell], fps), Math.max(0, video.duration - 0.001));
        await once(video, "seeked");
        const canvas = canvases.current[cell];
        if (!canvas || stopped) return;
        const width = Math.min(WIDTH, video.videoWidth);
        canvas.width = width;
        canvas.height = Math.round((width * video.videoHeight) / video.videoWidth);
        canvas.classList.toggle("tiny", video.videoHeight <= 160);
        canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
        setDrawn(cell + 1);
      }
    };
    // A strip that cannot be drawn is left out; the player says what is wrong with the file.
    draw().catch(() => {});
    return () => {
      stopped = true;
      video.removeAttribute("src");
      video.load();
    };
  }, [src, fps, frames]);
  return html`<div class="strip" role="group" aria-label="Frames" hidden=${!drawn}>
    ${places.map((place, cell) => html`<button key=${cell} onClick=${() => onSeek(place)} aria-label="Frame ${place + 1}" title="Frame ${place + 1}"><canvas ref=${(canvas) => { canvases.current[cell] = canvas; }}></canvas></button>`)}
  </div>`;
}

function once(target, type) {
  return new Promise((done, fail) => {
    target.addEventListener(type, done, { once: true });
    target.addEventListener("error", fail, { once: true });
  });
}
