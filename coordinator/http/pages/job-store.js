// One job with its videos.

import { path } from "./api.js";
import { useResource } from "./store.js";
import { isSuspect } from "./words.js";

/** What is left of it changes without an event. */
const ASK_AGAIN = 10_000;

/** `{job, videos}` of a job, and when it will be finished. */
export function useJob(id) {
  const { value, problem } = useResource(path("jobs", id));
  // How long it takes is told with the job; one video is enough to ask for it.
  const rest = useResource(value?.job.state === "active" ? `${path("jobs", id)}?limit=1` : null, { every: ASK_AGAIN });
  const left = rest.value?.seconds_left;
  return { value, problem, end: left == null ? null : new Date(rest.at + left * 1000) };
}

/** How many videos are in each state, and how many look wrong, some of them without a doubt. */
export function tally(videos) {
  const counts = { all: videos.length, suspect: 0, bad: 0, running: 0, writing: 0, waiting: 0, done: 0, failed: 0, cancelled: 0 };
  for (const video of videos) {
    counts[video.state] = (counts[video.state] || 0) + 1;
    if (isSuspect(video)) counts.suspect += 1;
    if (video.verdict === "bad") counts.bad += 1;
  }
  return counts;
}
