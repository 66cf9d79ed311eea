// What can be done with the selected videos, at the foot of the window while there are any.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { path, send } from "../api.js";
import { plural } from "../format.js";
import { go } from "../router.js";
import { resource } from "../store.js";
import { isEnd } from "../words.js";
import { Confirm } from "./dialog.js";
import { Icon } from "./icon.js";
import { attempt, say } from "./toast.js";

/** Requests under way at once. */
const AT_ONCE = 6;

export function Selection({ job, videos, picks }) {
  const [doing, setDoing] = useState(null);
  const [asking, ask] = useState(false);
  const chosen = [...picks.picked].map((index) => videos[index]).filter(Boolean);
  useEffect(() => {
    document.body.toggleAttribute("data-selecting", chosen.length > 0);
    return () => document.body.removeAttribute("data-selecting");
  }, [chosen.length > 0]);
  if (!chosen.length) return null;
  const open = chosen.filter((video) => !isEnd(video.state));
  const again = chosen.filter((video) => video.state === "failed" || video.state === "cancelled");
  const over = chosen.filter((video) => isEnd(video.state));
  const run = async (those, request, done) => {
    const faults = await each(those, request, (number) => setDoing(`${number} of ${those.length}`));
    setDoing(null);
    resource(path("jobs", job.job)).touch();
    if (faults.length) say(`${plural(faults.length, "video")} of ${those.length}: ${faults[0].message}`, "bad");
    else {
      say(`${plural(those.length, "video")} ${done}`);
      picks.none();
    }
  };
  const cancel = () => run(open, (video) => send("PATCH", "/jobs/{}/videos/{}", [job.job, video.index], { state: "cancelled" }), "cancelled");
  const retry = () => run(again, (video) => send("POST", "/jobs/{}/videos/{}/retry", [job.job, video.index]), "will be tried again");
  const reseed = () => {
    const videos = over.map((video) => video.index);
    const queued = send("POST", "/jobs/{}/rerender", [job.job], { videos }).then((again) => {
      picks.none();
      resource(path("jobs")).touch();
      go(`/jobs/${again.id}`);
    });
    attempt(queued, `${plural(videos.length, "video")} will be rendered with new seeds`);
  };
  return html`<div class="selection" role="toolbar" aria-label="Selected videos">
    <b>${doing || `${plural(chosen.length, "video")} selected`}</b>
    ${chosen.length === 2 && html`<a class="button small" href="/jobs/${job.job}/compare?a=${chosen[0].index}&b=${chosen[1].index}"><${Icon} name="compare" />Compare</a>`}
    ${again.length > 0 && html`<button class="button small" disabled=${doing} onClick=${retry}><${Icon} name="retry" />Retry</button>`}
    ${over.length > 0 && html`<button class="button small" disabled=${doing} onClick=${reseed}><${Icon} name="seed" />New seed</button>`}
    ${open.length > 0 && html`<button class="button small danger" disabled=${doing} onClick=${() => ask(true)} aria-label="Cancel the selection">Cancel</button>`}
    <button class="button small quiet icon-only" aria-label="Select none" title="Select none" onClick=${picks.none}><${Icon} name="close" /></button>
    ${asking && html`<${Confirm} title="Cancel ${plural(open.length, "video")}?" text="They are given up; retry goes on from where each got to. The job goes on with the others." action="Cancel them" danger=${true} onYes=${cancel} onClose=${() => ask(false)} />`}
  </div>`;
}

/** Sends a request for each, a few at once; returns what was refused. */
async function each(items, request, progress) {
  const faults = [];
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < items.length) {
      const item = items[next];
      next += 1;
      try {
        await request(item);
      } catch (problem) {
        faults.push(problem);
      }
      done += 1;
      progress(done);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, work));
  return faults;
}
