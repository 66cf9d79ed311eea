// A video that is being rendered, as far as it has come: a small clip behind its dial, where there is one.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path } from "../api.js";

/** No video looks otherwise more often. */
const EVERY = 2000;

export function Preview({ job, video }) {
  const [shown, show] = useState(null);
  const asked = useRef({ at: 0, timer: 0, over: false, url: null });
  useEffect(() => {
    const mine = asked.current;
    if (!video.steps_done || mine.timer) return;
    const ask = () => {
      mine.at = Date.now();
      mine.timer = 0;
      clipOf(job, video.index).then((blob) => {
        if (!blob || mine.over) return;
        const before = mine.url;
        mine.url = URL.createObjectURL(blob);
        show(mine.url);
        if (before) URL.revokeObjectURL(before);
      });
    };
    mine.timer = setTimeout(ask, Math.max(0, mine.at + EVERY - Date.now()));
  }, [job, video.index, video.steps_done]);
  useEffect(() => {
    const mine = asked.current;
    return () => {
      mine.over = true;
      clearTimeout(mine.timer);
      if (mine.url) URL.revokeObjectURL(mine.url);
    };
  }, []);
  return shown && html`<img class="preview" src=${shown} alt="" />`;
}

/** The clip; nothing where there is none yet, or nobody answers. */
function clipOf(job, index) {
  return fetch(`${path("jobs", job, "videos", index)}/preview.gif`).then(
    (reply) => (reply.status === 200 ? reply.blob() : null),
    () => null,
  );
}
