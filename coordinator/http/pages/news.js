// Takes over what the coordinator's events tell: whole lines of jobs, videos and workers, or what has to be read again.

import { path } from "./api.js";
import { moved } from "./attempts-store.js";
import { known, touch } from "./store.js";

/** Takes over events that came together; each is `{type, data}`. */
export function take(events) {
  const jobs = [];
  const workers = [];
  const videos = new Map();
  for (const { type, data } of events) {
    if (type === "job") jobs.push(data);
    else if (type === "worker") workers.push(data);
    else if (type === "video") {
      if (!videos.has(data.job)) videos.set(data.job, []);
      videos.get(data.job).push(data);
    } else if (type === "resync") again(data.job);
    else if (type === "event") happened();
  }
  if (jobs.length) takeJobs(jobs);
  for (const [job, lines] of videos) takeVideos(job, lines);
  if (workers.length) moved(workers);
  if (workers.length) known(path("workers"))?.apply((value) => ({ ...value, workers: merged(value.workers, workers, "id") }));
}

/** What changed with it is told by lines; only lists of what happened are read again. */
function happened() {
  touch((url) => url.startsWith(path("history")));
}

function again(job) {
  if (job == null) touch();
  else {
    const its = path("jobs", job);
    touch((url) => url === path("jobs") || url === its || url.startsWith(`${its}/`));
  }
}

function takeJobs(lines) {
  // The newest stands first, as the coordinator lists them.
  known(path("jobs"))?.apply((value) => ({ ...value, jobs: merged(value.jobs, lines, "job", true) }));
  for (const job of lines) {
    known(path("jobs", job.job))?.apply((value) => ({ ...value, job }));
    touch((url) => url === path("jobs", job.job, "report.json"));
  }
  touch((url) => url === path("farm"));
}

function takeVideos(job, lines) {
  known(path("jobs", job))?.apply((value) => {
    const next = [...value.videos];
    // Of a list of which only the first page is here, the rest is on its way.
    for (const line of lines) if (line.index < next.length) next[line.index] = line;
    return { ...value, videos: next };
  });
  for (const line of lines) known(path("jobs", job, "videos", line.index))?.apply(() => line);
}

/** A list with lines replaced by newer ones, and with new ones. */
function merged(list, lines, key, newestFirst = false) {
  const newer = new Map(lines.map((line) => [line[key], line]));
  const next = list.map((line) => {
    const found = newer.get(line[key]);
    newer.delete(line[key]);
    return found || line;
  });
  const added = [...newer.values()];
  return newestFirst ? [...added.reverse(), ...next] : [...next, ...added];
}
