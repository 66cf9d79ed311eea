// Where what happened is read, the newest first.

import { path } from "./api.js";

/** Of one job or of all, of some types or of all, so many lines. */
export function historyOf({ job, types, limit }) {
  const query = new URLSearchParams({ limit, ...(job && { job }), ...(types && { type: types }) });
  return `${path("history")}?${query}`;
}
