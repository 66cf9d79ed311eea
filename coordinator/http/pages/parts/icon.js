// The pages' few pictograms, drawn as strokes in the colour of the text beside them.

import { html } from "../vendor/htm-preact.js";

const PATHS = {
  alert: "M12 3.5 21.5 20h-19zM12 10v4.5M12 17.2v.1",
  check: "M5 12.5 10 17.5 19.5 7",
  chevron: "M9 5.5 15.5 12 9 18.5",
  close: "M6 6 18 18M18 6 6 18",
  compare: "M4 5h7v14H4zM13 5h7v14h-7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11M7 10.5 12 15.5 17 10.5M5 20h14",
  end: "M6 6 13 12 6 18zM18 6v12",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.5h4M4 14.5h4M16 9.5h4M16 14.5h4",
  back: "M15 6 8 12 15 18z",
  forward: "M9 6 16 12 9 18z",
  grid: "M4.5 4.5h6v6h-6zM13.5 4.5h6v6h-6zM4.5 13.5h6v6h-6zM13.5 13.5h6v6h-6z",
  half: "M12 4a8 8 0 0 1 0 16z",
  loop: "M5 12a7 7 0 0 1 12-5l2 2M19 4v5h-5M19 12a7 7 0 0 1-12 5l-2-2M5 20v-5h5",
  machine: "M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.1M7.5 16h.1",
  matrix: "M4.5 4.5h15v15h-15zM4.5 9.5h15M9.5 4.5v15",
  minus: "M6 12h12",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5 8 8 0 1 0 19.5 14.5z",
  night: "M19.5 14.5A8 8 0 0 1 9.5 4.5 8 8 0 1 0 19.5 14.5z",
  pause: "M8 5.5v13M16 5.5v13",
  pen: "M4.5 19.5 5.6 15.5 15.5 5.6a2 2 0 0 1 2.9 2.9L8.5 18.4zM14 7.5l2.5 2.5",
  play: "M7.5 5 19 12 7.5 19z",
  plus: "M12 6v12M6 12h12",
  print: "M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z",
  report: "M6 3.5h8.5L19 8v12.5H6zM9.5 12h6M9.5 16h6",
  retry: "M5 12a7 7 0 1 1 2.2 5.1M5 20v-4.6h4.6",
  rows: "M4 6h16M4 12h16M4 18h16",
  search: "M10.5 4.5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM15 15l5 5",
  seed: "M12 20V11M12 13C12 8 8 6.5 4.5 6.5 4.5 10.5 8 13 12 13zM12 11c0-4 3-6 7.5-6 0 4-3 6-7.5 6z",
  start: "M18 6 11 12 18 18zM6 6v12",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  timeline: "M4 6h9M9 12h8M6 18h5M15 18h5",
  upload: "M12 19V6M7 10.5 12 5.5 17 10.5M5 21h14",
};

/** A pictogram. It says nothing to a screen reader: the text or label beside it does. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
