// The farm's terms as the pages show them: one place, so that a state is called alike everywhere.

export const STAGES = ["encode_text", "encode_image", "denoise_high", "denoise_low", "denoise", "decode"];

const STAGE_WORDS = {
  encode_text: "Text",
  encode_image: "First frame",
  denoise_high: "High noise",
  denoise_low: "Low noise",
  denoise: "Denoise",
  decode: "Decode",
};

const STAGE_ROLES = {
  encode_text: "text-encoder",
  encode_image: "vae",
  denoise_high: "dit-high",
  denoise_low: "dit-low",
  denoise: "dit",
  decode: "vae",
};

/** What the state of a job, a video or a worker means for the eye: `rest`, `work`, `good`, `warn` or `bad`. */
const TONES = {
  active: "work",
  running: "work",
  writing: "work",
  busy: "work",
  done: "good",
  idle: "rest",
  waiting: "rest",
  paused: "warn",
  draining: "warn",
  drained: "warn",
  failed: "bad",
  "set aside": "bad",
  refused: "bad",
  lost: "bad",
  cancelled: "rest",
  gone: "rest",
  "left (drained)": "rest",
};

/** States of videos, in the order in which filters stand. */
export const VIDEO_STATES = ["running", "writing", "waiting", "done", "failed", "cancelled"];

export function stageName(stage) {
  return STAGE_WORDS[stage] || stage || "–";
}

export function stageRole(stage) {
  return STAGE_ROLES[stage] || null;
}

export function tone(state) {
  return TONES[state] || "rest";
}

/** A job or video that nothing more happens to. */
export function isEnd(state) {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** A worker that is not there. */
export function isGone(worker) {
  return ["gone", "left (drained)", "refused"].includes(worker.state);
}

/** A worker that gets no work until it is enabled. */
export function isOut(state) {
  return ["draining", "drained", "set aside", "left (drained)"].includes(state);
}

/** The roles that a worker is given work of: all that it serves, unless somebody has narrowed them. */
export function assignedRoles(worker) {
  return worker.assigned || worker.roles;
}

/** A finished video that the quality gate does not trust. */
export function isSuspect(video) {
  return video.verdict != null && video.verdict !== "ok";
}

/** The name that a job's page and rows carry. */
export function jobTitle(job) {
  return job.name || `job ${job.job}`;
}

/** What a video's stage and steps say of it, in one line. */
export function whereItStands(video) {
  if (video.state === "writing") return "Writing files";
  if (video.state === "running" && video.stage) {
    return video.stage.startsWith("denoise") && video.steps
      ? `${stageName(video.stage)}, step ${video.steps_done} of ${video.steps}`
      : stageName(video.stage);
  }
  if (video.state === "waiting" && video.waiting_for) return `Waiting for ${video.waiting_for}`;
  if (video.state === "waiting" && video.steps_done > 0) return `Waiting after step ${video.steps_done} of ${video.steps}`;
  return video.state[0].toUpperCase() + video.state.slice(1);
}
