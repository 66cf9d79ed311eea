// Plays a finished video, frame by frame if wanted.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { frameAt, timeOf } from "../frames.js";
import { Icon } from "./icon.js";
import { isTyping } from "./keys.js";
import { markTiny } from "./picture.js";
import { Strip } from "./strip.js";

/** `fps` and `frames` may be unknown; then time stands in for them. */
export function Player({ src, fps, frames, label }) {
  const ref = useRef(null);
  const [playing, setPlaying] = useState(false);
  const [frame, setFrame] = useState(0);
  const [loop, setLoop] = useState(true);
  const [length, setLength] = useState(0);
  const [broken, setBroken] = useState(false);
  const perSecond = fps || 24;
  // How many there are may be told after the file has been opened, and counts more than its length.
  const total = frames || (length ? Math.max(1, Math.round(length * perSecond)) : 0);

  const seek = (to) => {
    const video = ref.current;
    const next = Math.max(0, Math.min(total - 1, to));
    video.pause();
    video.currentTime = timeOf(next, perSecond);
    setFrame(next);
  };
  const toggle = () => {
    const video = ref.current;
    if (!video.paused) video.pause();
    else video.play().catch(() => setBroken(true));
  };

  useEffect(() => {
    const video = ref.current;
    if (!video) return undefined;
    let handle = 0;
    const follow = () => {
      setFrame(frameAt(video.currentTime, perSecond, total || 1));
      handle = requestAnimationFrame(follow);
    };
    if (playing) handle = requestAnimationFrame(follow);
    return () => cancelAnimationFrame(handle);
  }, [playing, perSecond, total]);

  usePlayerKeys({ toggle, seek, frame, total });

  const metadata = (event) => {
    markTiny(event);
    setLength(event.target.duration);
  };
  if (broken) {
    return html`<div class="player"><div class="player-picture"><span class="idle">This browser cannot play the file. <a href=${src} download>Download it</a></span></div></div>`;
  }
  return html`<div>
    <div class="player">
      <div class="player-picture"><video ref=${ref} src=${src} loop=${loop} muted playsinline preload="auto" aria-label=${label}
        onPlay=${() => setPlaying(true)} onPause=${() => setPlaying(false)} onLoadedMetadata=${metadata} onError=${() => setBroken(true)} onClick=${toggle}></video></div>
      <div class="controls" role="group" aria-label="Player">
        <button class="button quiet small icon-only" onClick=${() => seek(0)} aria-label="First frame" title="First frame (Home)"><${Icon} name="start" /></button>
        <button class="button quiet small icon-only" onClick=${() => seek(frame - 1)} aria-label="One frame back" title="One frame back (←)"><${Icon} name="back" /></button>
        <button class="button quiet small icon-only" onClick=${toggle} aria-label=${playing ? "Pause" : "Play"} title="Play or pause (Space)"><${Icon} name=${playing ? "pause" : "play"} /></button>
        <button class="button quiet small icon-only" onClick=${() => seek(frame + 1)} aria-label="One frame on" title="One frame on (→)"><${Icon} name="forward" /></button>
        <button class="button quiet small icon-only" onClick=${() => seek(total - 1)} aria-label="Last frame" title="Last frame (End)"><${Icon} name="end" /></button>
        <input class="seek" type="range" min="0" max=${Math.max(0, total - 1)} value=${frame} onInput=${(event) => seek(Number(event.target.value))} aria-label="Frame" aria-valuetext="Frame ${frame + 1} of ${total}" />
        <span class="at">${total ? `${frame + 1} / ${total}` : ""}</span>
        <button class="button small quiet icon-only" aria-pressed=${loop ? "true" : "false"} onClick=${() => setLoop(!loop)} aria-label="Loop" title="Loop"><${Icon} name="loop" /></button>
      </div>
    </div>
    ${total > 1 && html`<${Strip} src=${src} fps=${perSecond} frames=${total} onSeek=${seek} />`}
  </div>`;
}

function usePlayerKeys(now) {
  const latest = useRef(now);
  latest.current = now;
  useEffect(() => {
    const hear = (event) => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      const { toggle, seek, frame, total } = latest.current;
      // A focused button keeps its own Space, a slider its own arrows.
      const tag = document.activeElement?.tagName;
      const doing = {
        " ": tag !== "BUTTON" && tag !== "A" && tag !== "SUMMARY" && toggle,
        ArrowLeft: tag !== "INPUT" && (() => seek(frame - 1)),
        ArrowRight: tag !== "INPUT" && (() => seek(frame + 1)),
        Home: () => seek(0),
        End: () => seek(total - 1),
      }[event.key];
      if (!doing) return;
      event.preventDefault();
      doing();
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
}
