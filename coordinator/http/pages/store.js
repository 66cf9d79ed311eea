// What the page knows of the farm: each resource once. Events keep it right; it is read again when they cannot.
//
// Reading is polite: never twice at once, never while nobody looks at the page, and the longer an answer takes, the rarer
// it is asked for. So a farm with a thousand workers is asked less often than one with four.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { readPages } from "./paging.js";

/** No resource is read more often than this, in milliseconds. */
const LEAST_GAP = 1000;
/** After an answer the next one waits at least so many times as long as it took. */
const REST = 12;
/** While the coordinator does not answer. */
const RETRY_GAP = 2000;
/** What nobody shows any more is kept for so long: people go back. */
const KEPT = 60_000;

const resources = new Map();

class Resource {
  constructor(url) {
    this.url = url;
    this.value = undefined;
    this.problem = null;
    /** When the value was read, by this browser's clock. */
    this.at = 0;
    this.listeners = new Set();
    this.stale = true;
    this.busy = false;
    this.timer = null;
    this.leaving = null;
    this.took = 0;
    this.ended = 0;
    this.late = [];
    this.telling = false;
  }

  /** Something of it has changed; it is read as soon as that is polite. */
  touch() {
    this.stale = true;
    this.plan();
  }

  /** Changes the value as an event says: `change` makes the new value of the old one. */
  apply(change) {
    // An answer that is on its way may be older than the event.
    if (this.busy) this.late.push(change);
    if (this.value === undefined) return;
    this.value = change(this.value);
    this.tell();
  }

  listen(listener) {
    clearTimeout(this.leaving);
    this.listeners.add(listener);
    this.plan();
    return () => {
      this.listeners.delete(listener);
      if (!this.listeners.size) this.leaving = setTimeout(() => resources.delete(this.url), KEPT);
    };
  }

  plan() {
    if (!this.stale || this.busy || this.timer || !this.listeners.size || document.hidden) return;
    const gap = this.problem?.isSilence ? RETRY_GAP : Math.max(LEAST_GAP, this.took * REST);
    const wait = this.ended ? Math.max(0, this.ended + gap - Date.now()) : 0;
    if (!wait) {
      this.load();
      return;
    }
    this.timer = setTimeout(() => {
      this.timer = null;
      this.plan();
    }, wait);
  }

  async load() {
    this.busy = true;
    this.stale = false;
    const begun = performance.now();
    try {
      // Of a long list the first page is shown while the others are on their way; what was there before is not cut short.
      const first = (part) => this.value === undefined && this.become(part);
      const value = await readPages(this.url, first);
      this.become(this.late.reduce((known, change) => change(known), value));
    } catch (error) {
      this.problem = error;
      // A refusal stands until something changes; silence is asked again.
      this.stale = Boolean(error.isSilence);
    }
    this.late = [];
    this.took = performance.now() - begun;
    this.ended = Date.now();
    this.busy = false;
    this.tell();
    this.plan();
  }

  become(value) {
    this.value = value;
    this.problem = null;
    this.at = Date.now();
    this.tell();
  }

  /** Draws once, however many changes come together. */
  tell() {
    if (this.telling) return;
    this.telling = true;
    queueMicrotask(() => {
      this.telling = false;
      for (const listener of [...this.listeners]) listener();
    });
  }
}

/** The resource at a URL, whether anybody looks at it or not. */
export function resource(url) {
  let found = resources.get(url);
  if (!found) resources.set(url, (found = new Resource(url)));
  return found;
}

/** The resource at a URL, if anybody has asked for it. */
export function known(url) {
  return resources.get(url);
}

/** Has every resource whose URL passes read again. */
export function touch(passes = () => true) {
  for (const [url, found] of resources) {
    if (!passes(url)) continue;
    if (found.listeners.size) found.touch();
    else if (found.ended) resources.delete(url);
  }
}

/**
 * A resource, kept up to date while the component is shown. With `every` it is also read again after so many
 * milliseconds: for what changes without an event. A null URL is nothing.
 */
export function useResource(url, { every = 0 } = {}) {
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!url) return undefined;
    const found = resource(url);
    const leave = found.listen(() => redraw((times) => times + 1));
    // What it became between the drawing and now.
    redraw((times) => times + 1);
    const timer = every && setInterval(() => found.touch(), every);
    return () => {
      leave();
      clearInterval(timer);
    };
  }, [url, every]);
  const found = url && resource(url);
  return found ? { value: found.value, problem: found.problem, at: found.at } : { value: undefined, problem: null, at: 0 };
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const found of resources.values()) found.plan();
});
