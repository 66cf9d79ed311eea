// What workers have tried since some moment: read once, then only what is new or was still under way, while somebody looks.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { path, read } from "./api.js";

/** Attempts that are kept; of more, the newest. */
const MOST = 60_000;
/** Not read more often than this, in milliseconds, nor while the last answer took a twelfth of the time since. */
const LEAST_GAP = 2000;
const REST = 12;
/** Read again without any news: what is told of workers says nothing of how an attempt ended. */
const EVERY = 10_000;

const logs = new Set();
/** What each worker was seen to compute. */
const seen = new Map();

/** A worker's lines have changed: where it computes something else now, an attempt has ended or begun. */
export function moved(workers) {
  let changed = false;
  for (const { id, running } of workers) {
    const now = running ? `${running.video} ${running.stage}` : "";
    changed ||= seen.get(id) !== now;
    seen.set(id, now);
  }
  if (changed) for (const log of logs) log.plan();
}

class Log {
  constructor(since, job, tell) {
    this.since = since;
    this.job = job;
    this.tell = tell;
    this.all = new Map();
    this.cut = false;
    this.cursor = 0;
    this.stopped = false;
    this.timer = null;
    this.ended = 0;
    this.took = 0;
  }

  plan(wait = Math.max(0, this.ended + Math.max(LEAST_GAP, this.took * REST) - Date.now())) {
    if (this.stopped || this.busy) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), wait);
  }

  async load() {
    if (document.hidden) {
      this.plan(EVERY);
      return;
    }
    this.busy = true;
    const begun = performance.now();
    let problem = null;
    try {
      await this.pages();
    } catch (error) {
      problem = error;
    }
    this.took = performance.now() - begun;
    this.ended = Date.now();
    this.busy = false;
    if (this.stopped) return;
    this.tell({ workers: byWorker(this.all), problem, cut: this.cut, all: this.all });
    this.plan(EVERY);
  }

  async pages() {
    let cursor = String(this.cursor);
    while (cursor && !this.stopped) {
      const query = new URLSearchParams({ since: this.since, cursor, ...(this.job && { job: this.job }) });
      const page = await read(`${path("attempts")}?${query}`);
      for (const line of page.attempts) this.all.set(line.id, timed(line));
      cursor = page.next_cursor;
    }
    const last = [...this.all.keys()].reduce((most, id) => Math.max(most, id), this.cursor);
    this.cut ||= this.all.size > MOST;
    for (const id of this.all.keys()) {
      if (this.all.size <= MOST) break;
      this.all.delete(id);
    }
    // What has ended does not change any more.
    const open = [...this.all.values()].filter((attempt) => attempt.result == null);
    this.cursor = open.reduce((least, { id }) => Math.min(least, id - 1), last);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }
}

/** With its times in milliseconds; `to` is open while it is out. */
function timed(line) {
  const from = line.begun ? Date.parse(line.begun) : null;
  return { ...line, from, to: line.result == null ? Infinity : from + (line.seconds || 0) * 1000 };
}

/** The attempts that began, by worker, in the order in which they did. */
function byWorker(all) {
  const workers = new Map();
  for (const attempt of all.values()) {
    if (attempt.from == null) continue;
    if (!workers.has(attempt.worker)) workers.set(attempt.worker, []);
    workers.get(attempt.worker).push(attempt);
  }
  for (const those of workers.values()) those.sort((a, b) => a.from - b.from);
  return workers;
}

/** `{workers, all, cut, problem}` of what was tried since a moment (RFC 3339), of one job or of all; null before the first answer. */
export function useAttempts(since, job) {
  const [value, set] = useState(null);
  useEffect(() => {
    const log = new Log(since, job, set);
    logs.add(log);
    log.plan(0);
    const look = () => !document.hidden && log.plan();
    document.addEventListener("visibilitychange", look);
    return () => {
      logs.delete(log);
      log.stop();
      document.removeEventListener("visibilitychange", look);
    };
  }, [since, job]);
  return value;
}
