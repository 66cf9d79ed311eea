// The last things that happened to a job, or on the farm, folded away until somebody asks.

import { html, useState } from "../vendor/htm-preact.js";
import { historyOf } from "../history-of.js";
import { useResource } from "../store.js";
import { Happened } from "./happened.js";

const SHOWN = 12;

export function Latest({ job }) {
  const [open, set] = useState(false);
  const { value } = useResource(open ? historyOf({ job, limit: SHOWN }) : null);
  return html`<details class="latest" onToggle=${(event) => set(event.currentTarget.open)}><summary>What happened</summary>
    ${open && value && html`<${Happened} events=${value.events} of=${job} /><p class="small"><a href="/history?job=${job}">All of it</a></p>`}
  </details>`;
}
