// What this coordinator can do. What it cannot has no button.

/** Pages and API are parts of one binary, so the list stands here; a test holds it to the API's own description. */
export const KNOWN = new Set([
  "POST /jobs",
  "PATCH /jobs/{}",
  "DELETE /jobs/{}",
  "POST /jobs/{}/retry",
  "PATCH /jobs/{}/videos/{}",
  "POST /jobs/{}/videos/{}/retry",
  "PATCH /workers/{}",
  "DELETE /workers/{}",
]);

/** `offers("POST", "/jobs/{}/retry")`: whether that is served. */
export function offers(method, path) {
  return KNOWN.has(`${method} ${path}`);
}
