// Which page an address means, and moving between pages without loading them anew.

import { useEffect, useState } from "./vendor/htm-preact.js";

const listeners = new Set();

/** The address as it is now. */
export function here() {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

/** Goes to another page, as a link does. */
export function go(address) {
  if (address === location.pathname + location.search) return;
  history.pushState(null, "", address);
  scrollTo(0, 0);
  announce();
}

/** Writes what a page shows (filters, view) into its address, so that it can be kept and sent. */
export function remember(changes) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value == null || value === "") query.delete(key);
    else query.set(key, value);
  }
  const text = query.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
  announce();
}

/** The address, kept up to date. */
export function useAddress() {
  const [address, set] = useState(here);
  useEffect(() => {
    const listener = () => set(here());
    listeners.add(listener);
    listener();
    return () => listeners.delete(listener);
  }, []);
  return address;
}

/** The parts of a path that match `:names` of a pattern, or null. */
export function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== given.length) return null;
  const found = {};
  for (let at = 0; at < wanted.length; at += 1) {
    if (wanted[at].startsWith(":")) found[wanted[at].slice(1)] = decodeURIComponent(given[at]);
    else if (wanted[at] !== given[at]) return null;
  }
  return found;
}

function announce() {
  for (const listener of [...listeners]) listener();
}

addEventListener("popstate", announce);
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[href]");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  // Files and the API are the browser's to open.
  if (link.pathname.startsWith("/api/") || link.hasAttribute("data-plain")) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
