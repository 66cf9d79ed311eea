// What a worker logs, as it logs it.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path } from "../api.js";
import { clock, fullMoment } from "../format.js";
import { readEvents } from "../sse.js";
import { Dialog } from "./dialog.js";

/** Lines that are shown; the oldest go. */
const SHOWN = 1000;
const AGAIN = 2000;
/** What stands where no line does. */
const WITHOUT_LINES = {
  connecting: "Asking for its lines …",
  open: "It has logged nothing since the coordinator was started.",
  away: "Its lines cannot be had now; asking again …",
};

export function LogDialog({ worker, onClose }) {
  const { lines, state } = useLog(worker.id);
  const box = useRef(null);
  const follows = useRef(true);
  // Whoever has scrolled up to read is left there.
  useLayoutEffect(() => {
    if (follows.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const scrolled = ({ target }) => {
    follows.current = target.scrollHeight - target.scrollTop - target.clientHeight < 24;
  };
  return html`<${Dialog} title="Log of ${worker.name}" wide onClose=${onClose}>
    <div class="log mono small" ref=${box} role="log" tabindex="0" aria-label="Log of ${worker.name}" onScroll=${scrolled}>
      ${lines.map((line) => html`<p key=${line.key} data-level=${line.level}><time title=${fullMoment(line.at)}>${seconds(line.at)}</time> <b>${line.level}</b> ${line.text}</p>`)}
      ${!lines.length && html`<p class="muted">${WITHOUT_LINES[state]}</p>`}
    </div>
    <div class="dialog-actions"><button class="button" onClick=${onClose}>Close</button></div>
  <//>`;
}

/** The last lines of a worker, and those that come, for as long as they are shown. */
function useLog(id) {
  const [log, set] = useState({ lines: [], state: "connecting" });
  useEffect(() => {
    let abort = null;
    let timer = null;
    let ended = false;
    let key = 0;
    const add = (events) => {
      const come = events.filter((event) => event.type === "line").map((event) => ({ ...event.data, key: key++ }));
      if (come.length) set(({ lines }) => ({ lines: [...lines, ...come].slice(-SHOWN), state: "open" }));
    };
    const follow = async () => {
      abort = new AbortController();
      // What is told again after a break is told from the beginning.
      const url = `${path("workers", id, "log")}?tail=${SHOWN}&follow=1`;
      await readEvents(url, abort, add, () => set({ lines: [], state: "open" })).catch(() => {});
      // What was told stays to be read.
      if (!ended) set(({ lines }) => ({ lines, state: "away" }));
      if (!ended) timer = setTimeout(follow, AGAIN);
    };
    follow();
    return () => {
      ended = true;
      clearTimeout(timer);
      abort?.abort();
    };
  }, [id]);
  return log;
}

function seconds(at) {
  if (!at) return "";
  const date = new Date(at);
  return `${clock(date)}:${String(date.getSeconds()).padStart(2, "0")}`;
}
