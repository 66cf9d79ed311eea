// The frame around every page: navigation, whether the coordinator is heard, and which page the address means.

import { html, render, useErrorBoundary } from "./vendor/htm-preact.js";
import { listen, useLive } from "./live.js";
import { Icon } from "./parts/icon.js";
import { Keys } from "./parts/keys.js";
import { ThemeSwitch } from "./parts/theme-switch.js";
import { Toasts } from "./parts/toast.js";
import { match, useAddress } from "./router.js";
import { Compare } from "./views/compare.js";
import { History } from "./views/history.js";
import { Job } from "./views/job.js";
import { Machines } from "./views/machines.js";
import { Report } from "./views/report.js";
import { Submit } from "./views/submit.js";
import { Timeline } from "./views/timeline.js";
import { Tonight } from "./views/tonight.js";
import { Video } from "./views/video.js";

const PAGES = [
  ["/", Tonight],
  ["/index.html", Tonight],
  ["/jobs/:job", Job],
  ["/jobs/:job/compare", Compare],
  ["/jobs/:job/report", Report],
  ["/jobs/:job/videos/:video", Video],
  ["/machines", Machines],
  ["/timeline", Timeline],
  ["/history", History],
  ["/submit", Submit],
];

const LINKS = [
  ["/", "Tonight", "night"],
  ["/machines", "Machines", "machine"],
  ["/timeline", "Timeline", "timeline"],
  ["/submit", "Submit", "upload"],
];

const LIVE_WORDS = { live: "Live", connecting: "Connecting", away: "Reconnecting" };

function Frame() {
  const { path } = useAddress();
  const { newer } = useLive();
  return html`
    <a class="skip" href="#content" data-plain>Skip to content</a>
    <header class="top">
      <a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M5 24V10M12 24V15M19 24V6M26 24V18" /></svg>wanfarm</a>
      <nav class="nav" aria-label="Pages">
        ${LINKS.map(([to, name, icon]) => html`<a key=${to} href=${to} aria-current=${isOn(to, path) ? "page" : undefined}><${Icon} name=${icon} />${name}</a>`)}
      </nav>
      <div class="top-end"><${Live} /><${Keys} path=${path} /><${ThemeSwitch} /></div>
    </header>
    ${newer && html`<div class="banner" role="status">The coordinator is of another version than this page.
      <button class="button small" onClick=${() => location.reload()}>Load it anew</button></div>`}
    <main id="content" class="page" tabindex="-1"><${Page} key=${path} path=${path} /></main>
    <${Toasts} />`;
}

function isOn(to, path) {
  return to === "/" ? path === "/" || path.startsWith("/jobs/") : path.startsWith(to);
}

function Live() {
  const { state } = useLive();
  return html`<span class="live" data-state=${state} role="status" title=${LIVE_WORDS[state]}><i></i><span>${LIVE_WORDS[state]}</span></span>`;
}

function Page({ path }) {
  const [error] = useErrorBoundary();
  if (error) {
    return html`<div class="empty"><h1>This page has a fault</h1><p>${String(error.message || error)}</p>
      <button class="button" onClick=${() => location.reload()}>Load it anew</button></div>`;
  }
  for (const [pattern, View] of PAGES) {
    const found = match(pattern, path);
    if (found) return html`<${View} ...${found} />`;
  }
  return html`<${Nowhere} />`;
}

function Nowhere() {
  return html`<div class="empty"><h1>Nothing is here</h1><p><a href="/">Go to tonight</a></p></div>`;
}

listen();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${Frame} />`, root);
