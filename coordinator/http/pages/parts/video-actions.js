// What can be done with one video.

import { html, useState } from "../vendor/htm-preact.js";
import { path, send } from "../api.js";
import { go } from "../router.js";
import { resource } from "../store.js";
import { isEnd } from "../words.js";
import { Confirm } from "./dialog.js";
import { Icon } from "./icon.js";
import { attempt } from "./toast.js";

export function VideoActions({ job, video }) {
  const [asking, ask] = useState(false);
  const url = path("jobs", job, "videos", video.index);
  const change = (promise, text) =>
    attempt(promise, text).then((well) => {
      if (!well) return;
      resource(url).touch();
      resource(path("jobs")).touch();
    });
  const rerender = () => {
    const queued = send("POST", "/jobs/{}/videos/{}/rerender", [job, video.index], {}).then((again) => {
      resource(path("jobs")).touch();
      go(`/jobs/${again.id}`);
    });
    attempt(queued, "It will be rendered with a new seed");
  };
  const over = isEnd(video.state);
  const again = video.state === "failed" || video.state === "cancelled";
  return html`
    ${again && html`<button class="button" onClick=${() => change(send("POST", "/jobs/{}/videos/{}/retry", [job, video.index]), "It will be tried again")}><${Icon} name="retry" />Retry</button>`}
    ${over && html`<button class="button" onClick=${rerender}><${Icon} name="seed" />New seed</button>`}
    ${!over && html`<button class="button danger" onClick=${() => ask(true)}>Cancel</button>`}
    ${asking && html`<${Confirm} title="Cancel this video?" text="It is given up; retry goes on from where it got to. The job goes on with the others." action="Cancel it" danger=${true} onYes=${() => change(send("PATCH", "/jobs/{}/videos/{}", [job, video.index], { state: "cancelled" }), "The video is cancelled")} onClose=${() => ask(false)} />`}`;
}
