"""Drives the pages of a farm in Chromium by WebDriver, and prints how long what takes."""

import json
import subprocess
import sys
import time
import urllib.request

FARM, WORKERS, VIDEOS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SIZE = (1280, 800)

# What stands in the page when its list is there, and what is scrolled.
PAGES = [
    ("tonight", "/", "a[href^='/jobs/']"),
    ("job", "/jobs/1", ".tile"),
    ("machines", "/machines", ".worker-row"),
    ("timeline", "/timeline", "canvas"),
]

# Scrolls to the end of the page and back for so many milliseconds, and takes the time of each frame.
SCROLL = """
const [milliseconds, done] = arguments;
const frames = [];
const most = document.documentElement.scrollHeight - innerHeight;
let first, last;
function frame(now) {
  if (first === undefined) first = now;
  if (last !== undefined) frames.push(now - last);
  last = now;
  const part = (now - first) / milliseconds;
  if (part >= 1) return done([frames, most]);
  scrollTo(0, most * (1 - Math.abs(1 - 2 * part)));
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
"""


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(DRIVER + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


def script(text, *arguments, kind="sync"):
    return call("POST", f"{SESSION}/execute/{kind}", {"script": text, "args": list(arguments)})


def quantile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(name, path, list_of):
    call("POST", f"{SESSION}/url", {"url": "about:blank"})
    begun = time.monotonic()
    call("POST", f"{SESSION}/url", {"url": FARM + path})
    while not script("return document.querySelector(arguments[0]) !== null", list_of):
        assert time.monotonic() - begun < 60, f"{path} shows no {list_of}"
    shown = time.monotonic() - begun
    paint = script("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    # What changes is told every quarter of a second; a while of it belongs to what is measured.
    frames, height = script(SCROLL, 8000, kind="async")
    call("POST", f"{SESSION}/goog/cdp/execute", {"cmd": "HeapProfiler.collectGarbage", "params": {}})
    heap = script("return performance.memory.usedJSHeapSize") / 2**20
    nodes = script("return document.querySelectorAll('*').length")
    smooth = sum(frame <= 1000 / 60 + 1 for frame in frames) / len(frames)
    print(
        f"{name}: first paint {paint:.0f} ms, list after {shown * 1000:.0f} ms; scrolling {height:.0f} px: "
        f"{len(frames) / (sum(frames) / 1000):.0f} frames a second, half within {quantile(frames, 0.5):.1f} ms, "
        f"95 % within {quantile(frames, 0.95):.1f} ms, {smooth:.0%} in time; {heap:.0f} MiB of objects, {nodes} elements"
    )


with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
    try:
        line = next(line for line in driver.stdout if "successfully on port" in line)
        DRIVER = f"http://127.0.0.1:{line.rstrip().rstrip('.').rsplit(' ', 1)[1]}"
        options = {"args": ["--headless=new", "--no-sandbox", f"--window-size={SIZE[0]},{SIZE[1]}", "--enable-precise-memory-info"]}
        capabilities = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        SESSION = f"/session/{call('POST', '/session', capabilities)['sessionId']}"
        call("POST", f"{SESSION}/timeouts", {"script": 60000})
        try:
            print(f"{WORKERS} workers, {VIDEOS} videos, {SIZE[0]} x {SIZE[1]}")
            for page in PAGES:
                measure(*page)
        finally:
            call("DELETE", SESSION)
    finally:
        driver.kill()
