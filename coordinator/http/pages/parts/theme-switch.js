// Dark or light, by the system unless somebody chose.

import { html, useState } from "../vendor/htm-preact.js";
import { Icon } from "./icon.js";

const root = document.documentElement;

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function ThemeSwitch() {
  const [dark, set] = useState(isDark());
  const turn = () => {
    const next = !isDark();
    const system = matchMedia("(prefers-color-scheme: dark)").matches;
    try {
      // Back at what the system says, there is no choice to remember.
      if (next === system) localStorage.removeItem("theme");
      else localStorage.setItem("theme", next ? "dark" : "light");
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    if (next === system) delete root.dataset.theme;
    else root.dataset.theme = next ? "dark" : "light";
    set(next);
  };
  const label = dark ? "Switch to light" : "Switch to dark";
  return html`<button class="button quiet icon-only" onClick=${turn} aria-label=${label} title=${label}><${Icon} name=${dark ? "sun" : "moon"} /></button>`;
}
