// Long lists come in pages: a cursor says where the next one begins.

import { read } from "./api.js";

const LISTS = ["videos", "jobs", "workers"];

/**
 * Reads a resource with all pages of its list. `first` is called with what is known as soon as the first page is here, if
 * that is not all.
 */
export async function readPages(url, first) {
  const whole = await read(url);
  // With a limit of its own, one page is all that is wanted.
  if (!whole.next_cursor || url.includes("?")) return whole;
  const list = LISTS.find((name) => Array.isArray(whole[name]));
  first({ ...whole, [list]: [...whole[list]] });
  let cursor = whole.next_cursor;
  while (cursor) {
    const page = await read(`${url}?cursor=${encodeURIComponent(cursor)}`);
    for (const line of page[list]) whole[list].push(line);
    cursor = page.next_cursor;
  }
  return whole;
}
