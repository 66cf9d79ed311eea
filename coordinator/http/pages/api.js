// Requests to the coordinator that served this page, and what it says when it refuses.

const BASE = "/api/v1";

/** A refusal, as RFC 9457 tells it, or the lack of any answer. */
export class Problem extends Error {
  constructor(status, body, fallback) {
    super(body.detail || body.title || fallback);
    this.status = status;
    this.title = body.title || fallback;
    this.faults = body.faults || [];
    this.body = body;
  }

  /** Nobody answered: the coordinator is away or the network is. */
  get isSilence() {
    return this.status === 0;
  }
}

/** Path of a resource below the API, each part escaped. */
export function path(...parts) {
  return `${BASE}/${parts.map(encodeURIComponent).join("/")}`;
}

/** Reads a resource as JSON. The browser asks with the ETag it knows, so what has not changed is not sent again. */
export function read(url, options = {}) {
  return request(url, { cache: "no-cache", ...options });
}

/** Changes something: `send("PATCH", "/jobs/{}", [7], body)`, whose body is sent as JSON. A test holds each to what is served. */
export function send(method, template, ids, body) {
  const rest = [...ids];
  const url = BASE + template.replaceAll("{}", () => encodeURIComponent(rest.shift()));
  const json = body !== undefined;
  return request(url, {
    method,
    headers: json ? { "content-type": "application/json" } : {},
    body: json ? JSON.stringify(body) : undefined,
  });
}

/** Sends a text as it is, for example a manifest. */
export function sendText(url, type, text, headers = {}) {
  return request(url, { method: "POST", headers: { "content-type": type, ...headers }, body: text });
}

async function request(url, options) {
  let reply;
  try {
    reply = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {}, "The coordinator does not answer");
  }
  const isJson = /\bjson\b/.test(reply.headers.get("content-type") || "");
  const body = isJson ? await reply.text().then(parse).catch(() => ({})) : {};
  if (!reply.ok) throw new Problem(reply.status, body, `The coordinator answered ${reply.status} ${reply.statusText}`.trim());
  return body;
}

/** Seeds may be larger than this language's whole numbers; those stay as they are written. */
function parse(text) {
  const exact = (key, value, context) => (key === "seed" && context?.source && !Number.isSafeInteger(value) ? context.source : value);
  return JSON.parse(text, /"seed":\s*\d{16}/.test(text) ? exact : undefined);
}
