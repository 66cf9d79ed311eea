// The coordinator's events as they happen: one connection, made again whenever it breaks. After a break everything shown is
// read anew, so a restart of the coordinator or an hour asleep leaves nothing wrong.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { path } from "./api.js";
import { take } from "./news.js";
import { readEvents } from "./sse.js";
import { touch } from "./store.js";

const EVENTS = path("events");
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
/** A hidden page gives its connection back after so long: a browser has few for one host. */
const HIDDEN_FOR = 20_000;

const watchers = new Set();
const seen = { state: "connecting", version: null, newer: false, connections: 0 };
let stop = null;
let hiddenTimer = null;

/** `state` is `live`, `connecting` or `away`; `newer`: the coordinator was replaced by another version meanwhile; `connections`: how many
 *  there were, so that what was not to be had during a break is asked for again. */
export function useLive() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watcher = () => redraw((times) => times + 1);
    watchers.add(watcher);
    // What was seen between the drawing and now.
    watcher();
    return () => watchers.delete(watcher);
  }, []);
  return seen;
}

/** Begins to listen, for as long as the page is there. */
export function listen() {
  connect();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(disconnect, HIDDEN_FOR);
    else if (!stop) connect();
  });
  // A page that is left may be kept for going back, and its connection with it: six of them would be all a browser has.
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", () => !stop && connect());
}

function see(changes) {
  Object.assign(seen, changes);
  for (const watcher of [...watchers]) watcher();
}

function disconnect() {
  stop?.();
  stop = null;
}

async function connect() {
  let stopped = false;
  let abort = null;
  let wake = null;
  stop = () => {
    stopped = true;
    abort?.abort();
    wake?.();
  };
  let wait = FIRST_WAIT;
  const opened = (version) => {
    wait = FIRST_WAIT;
    seen.version ??= version;
    see({ state: "live", newer: seen.version !== version, connections: seen.connections + 1 });
    // From now on changes are told. What happened before is read.
    touch();
  };
  while (!stopped) {
    abort = new AbortController();
    try {
      await readEvents(EVENTS, abort, (events) => {
        const hello = events.find((event) => event.type === "hello");
        if (hello) opened(hello.data.version);
        take(events);
      });
    } catch {
      // Whatever ended it, the answer is to try again.
    }
    if (stopped) return;
    see({ state: "away" });
    await new Promise((done) => {
      wake = done;
      setTimeout(done, wait * (0.75 + Math.random() / 2));
    });
    wait = Math.min(LONGEST_WAIT, wait * 2);
    // Where events are refused but answers are not, the page is kept right by asking.
    touch();
  }
}
