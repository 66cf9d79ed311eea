// First frames of videos, read from the files themselves: a few at a time, and kept while they are likely to be shown again.

/** Videos that are opened at once. */
const AT_ONCE = 3;
/** Pictures that are kept. */
const KEPT = 300;
/** Pictures are kept no wider than they are shown. */
const WIDTH = 320;

const kept = new Map();
const queue = [];
let open = 0;

/** The first frame of the video at a URL, as a bitmap. `wanted` says whether anybody still waits for it when its turn comes. */
export function firstFrame(url, wanted) {
  const found = kept.get(url);
  if (found) {
    // What was used last goes last.
    kept.delete(url);
    kept.set(url, found);
    return Promise.resolve(found);
  }
  return new Promise((done, fail) => {
    queue.push({ url, wanted, done, fail });
    next();
  });
}

function next() {
  while (open < AT_ONCE && queue.length) {
    // The newest is the one in view; the older ones were scrolled past.
    const { url, wanted, done, fail } = queue.pop();
    if (!wanted()) {
      fail(new Error("not wanted any more"));
      continue;
    }
    open += 1;
    read(url)
      .then((picture) => {
        kept.set(url, picture);
        if (kept.size > KEPT) kept.delete(kept.keys().next().value);
        done(picture);
      }, fail)
      .finally(() => {
        open -= 1;
        next();
      });
  }
}

async function read(url) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  try {
    await new Promise((done, fail) => {
      video.addEventListener("loadeddata", done, { once: true });
      video.addEventListener("error", () => fail(new Error("the file cannot be played")), { once: true });
      video.src = url;
    });
    const { videoWidth: width, videoHeight: height } = video;
    const shown = Math.min(WIDTH, width);
    const bitmap = await createImageBitmap(video, { resizeWidth: shown, resizeHeight: Math.round((shown * height) / width), resizeQuality: "medium" });
    return { bitmap, width, height };
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}
