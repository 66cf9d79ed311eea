// Server-sent events, read by fetch: it can be ended at once, and says why it was refused.

/** Whoever sends events says something at least this often, if only that it lives. */
const SILENCE = 45_000;

/**
 * Reads the events of a URL until they end, `abort` is aborted, or nothing is heard any more. `take` gets those that came
 * together, each `{type, data}`; `opened` is called before.
 */
export async function readEvents(url, abort, take, opened = () => {}) {
  const reply = await fetch(url, { headers: { accept: "text/event-stream" }, cache: "no-store", signal: abort.signal });
  if (!reply.ok || !reply.body) throw new Error(`no events: ${reply.status}`);
  opened();
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let silence = setTimeout(() => abort.abort(), SILENCE);
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE);
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      take(blocks.map(parse).filter(Boolean));
    }
  } finally {
    clearTimeout(silence);
  }
}

/** One event, or nothing for a comment. */
function parse(block) {
  let type = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { type, data: JSON.parse(data.join("\n")) } : null;
}
