// How fast workers are against their peers: only the same model, stage and size of video compare.

import { median } from "./format.js";

const key = (pace) => `${pace.model}\n${pace.stage}\n${pace.tokens}`;

/** Medians of all workers' paces. */
export function medians(workers) {
  const groups = new Map();
  for (const worker of workers) {
    for (const pace of worker.paces) {
      const name = key(pace);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(pace.seconds);
    }
  }
  const found = new Map();
  for (const [name, seconds] of groups) found.set(name, { median: median(seconds), of: seconds.length });
  return found;
}

/**
 * A worker's paces with how they compare: `ratio` is 1 for the median and 2 for twice as slow, absent where nobody else was
 * measured. The one that says most comes first: of what it computes now, else of denoising, else the slowest.
 */
export function compared(worker, all) {
  const stage = worker.running?.stage;
  const weight = (pace) => (pace.stage === stage ? 2 : pace.stage?.startsWith("denoise") ? 1 : 0);
  return worker.paces
    .map((pace) => {
      const peers = all.get(key(pace));
      return { ...pace, ratio: peers && peers.of > 1 && peers.median > 0 ? pace.seconds / peers.median : null };
    })
    .sort((a, b) => weight(b) - weight(a) || (b.ratio ?? 0) - (a.ratio ?? 0));
}
