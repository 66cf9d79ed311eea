// How fast a worker was, attempt by attempt: by stage, over the hours.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { path, read } from "./api.js";
import { median } from "./format.js";
import { HOUR } from "./window-of-time.js";
import { STAGES } from "./words.js";

/** How far is looked back: as far as there are not too many attempts. */
const HOURS = [12, 3, 1];
const MOST = 4000;

/** `{hours, stages}` of a worker's last hours, or `{problem}`; null before the answer. */
export function usePaceHistory(worker) {
  const [value, set] = useState(null);
  useEffect(() => {
    let wanted = true;
    const tell = (news) => wanted && set(news);
    load(worker, () => wanted).then(tell, (problem) => tell({ problem }));
    return () => {
      wanted = false;
    };
  }, [worker]);
  return value;
}

async function load(worker, wanted) {
  for (const hours of HOURS) {
    const attempts = [];
    const since = new Date(Date.now() - hours * HOUR).toISOString();
    let cursor = "0";
    while (cursor && attempts.length <= MOST && wanted()) {
      const page = await read(`${path("attempts")}?${new URLSearchParams({ worker, since, cursor })}`);
      attempts.push(...page.attempts);
      cursor = page.next_cursor;
    }
    if (!cursor || hours === HOURS.at(-1)) return { hours, stages: byStage(attempts) };
  }
  return null;
}

/** Of each stage that it computed: its paces in the order of time, and their figures as a whole and by the hour. */
export function byStage(attempts) {
  const stages = new Map(STAGES.map((stage) => [stage, []]));
  for (const attempt of attempts) {
    const seconds = pace(attempt);
    if (seconds != null) stages.get(attempt.stage)?.push({ at: Date.parse(attempt.begun), seconds });
  }
  return [...stages].filter(([, points]) => points.length).map(([stage, points]) => {
    points.sort((a, b) => a.at - b.at);
    const all = points.map((point) => point.seconds);
    return { stage, points, median: median(all), least: Math.min(...all), most: Math.max(...all), last: all.at(-1), hours: byHour(points) };
  });
}

/** Seconds for a step; of stages without steps, for the item. Null of what did not come to an end that tells. */
function pace({ result, stage, begun, seconds, first_step: first, last_step: last }) {
  if ((result !== "done" && result !== "revoked") || !begun || !(seconds > 0)) return null;
  if (!stage.startsWith("denoise")) return result === "done" ? seconds : null;
  return first == null || last == null ? null : seconds / (last - first + 1);
}

function byHour(points) {
  const hours = new Map();
  for (const { at, seconds } of points) {
    const hour = new Date(at).setMinutes(0, 0, 0);
    if (!hours.has(hour)) hours.set(hour, []);
    hours.get(hour).push(seconds);
  }
  return [...hours].map(([at, all]) => ({ at, median: median(all), of: all.length }));
}
