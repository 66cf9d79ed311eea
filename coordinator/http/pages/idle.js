// Why a worker computed nothing: what was said of it meanwhile, and what its next attempt had to wait for.

const AWAY = { "worker.lost": "lost", "worker.left": "gone", "worker.joined": null };
const OUT = { "worker.drained": "drained", "worker.set_aside": "set aside", "worker.enabled": null };

/** Stretches in which a worker was away or got nothing, `{from, to, why}`, of what happened to it, the oldest first. */
export function absences(events) {
  const found = [];
  let away = null;
  let out = null;
  let since = null;
  const turn = (at) => {
    const why = away || out;
    const last = found[found.length - 1];
    if (last && last.to === Infinity) last.to = at;
    if (why) found.push({ from: at, to: Infinity, why });
    since = at;
  };
  for (const { type, at } of events) {
    const before = away || out;
    if (type in AWAY) away = AWAY[type];
    else if (type in OUT) out = OUT[type];
    else continue;
    if ((away || out) !== before || since == null) turn(Date.parse(at));
  }
  return found;
}

/** What an attempt waited for on its worker before it began, the earliest first, `{from, to, why}`. */
export function waits(attempt) {
  const load = (attempt.load_seconds || 0) * 1000;
  const inputs = Math.max(0, (attempt.input_wait_seconds || 0) * 1000 - load);
  const stretches = [];
  if (inputs > 0) stretches.push({ from: attempt.from - load - inputs, to: attempt.from - load, why: "waiting for inputs" });
  if (load > 0) stretches.push({ from: attempt.from - load, to: attempt.from, why: "loading weights" });
  return stretches;
}

/** Why nothing was computed at `at`, between two attempts. */
export function reason(at, next, away) {
  const covers = (stretch) => stretch.from <= at && at < stretch.to;
  return away.find(covers)?.why || (next && waits(next).find(covers)?.why) || "nothing to do";
}
