"""A coordinator and workers, as processes of the program that WANFARM_PROGRAM names."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from wanfarm import Farm

REPOSITORY = Path(__file__).parents[3]
PROGRAM = os.environ.get("WANFARM_PROGRAM", str(REPOSITORY / "target/debug/coordinator"))
MODELS = REPOSITORY / "deploy/demo"


def manifest(name: str, seeds: int, *, steps: int = 4, more: str = "", video: str = "") -> str:
    """Small videos of the demo model."""
    return f"""
[job]
name = "{name}"
model = "wan-tiny-t2v"
{more}
[defaults]
width = 64
height = 64
frames = 5
steps = {steps}
[[video]]
prompt = "a red circle moving left on a black background"
sweep = {{ seed = {list(range(seeds))} }}
{video}
"""


class Night:
    """A farm of its own, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The same after a restart.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.coordinator: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.farm = Farm(self.url, patience=30)

    def serve(self) -> None:
        listen = self.url.removeprefix("http://")
        places = ["--data", str(self.folder / "data"), "--output", str(self.folder / "output")]
        # What a killed worker had goes elsewhere soon.
        words = ["serve", "--listen", listen, "--lease", "3", *places]
        self.coordinator = self._start("coordinator", words)
        # Answers once it listens.
        self.farm.status()

    def work(self, name: str = "worker") -> subprocess.Popen[bytes]:
        words = ["worker", "--coordinator", self.url, "--models", str(MODELS), "--data", str(self.folder / name)]
        worker = self._start(name, [*words, "--name", name, "--threads", "1"])
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for process in [*self.workers, self.coordinator]:
            if process is not None:
                process.kill()
                process.wait()
        self.workers.clear()

    def kill_coordinator(self) -> None:
        assert self.coordinator is not None
        self.coordinator.kill()
        self.coordinator.wait()

    def _start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        return subprocess.Popen([PROGRAM, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def until(what: str, is_so: object, seconds: float = 60.0) -> None:
    """Looks until something is so."""
    end = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds"
        time.sleep(0.05)
