"""A farm, its jobs and their videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from . import _files, _jobs, _manifests
from ._ask import get
from ._jobs import KEEP
from ._manifests import Manifest, Source
from ._settings import Settings
from ._streams import Happenings, Watch
from ._sync import Driver
from .errors import VideosFailed
from .models import (
    Event,
    FarmStatus,
    Forecast,
    JobStatus,
    OutputFile,
    Progress,
    Report,
    VideoStatus,
    WorkerStatus,
    read,
)

#: A path, as a text or as an object.
StrPath = str | os.PathLike[str]


class Farm:
    """A coordinator, by its address: HOST, HOST:PORT or a URL; without one WANFARM_COORDINATOR, or this machine.

    `timeout`: seconds that an answer may take. `patience`: seconds that a coordinator which does not answer is waited for
    before `NoConnection` is raised, for example while it is started again. `token`, or WANFARM_TOKEN, is sent as a bearer
    token, for a proxy before the coordinator that asks for one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        authority: StrPath | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
    ) -> None:
        self._settings = Settings.of(url, token, authority, timeout, patience)
        self._driver = Driver(self._settings)

    def __repr__(self) -> str:
        return f"Farm({self.url!r})"

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._driver.close()

    @property
    def url(self) -> str:
        """The address of the coordinator."""
        return self._settings.url

    def submit(
        self,
        manifest: Source,
        *,
        key: str | None = None,
        taken: str = "refuse",
        owner: str | None = None,
        note: str | None = None,
        labels: Mapping[str, str] | None = None,
        folder: StrPath | None = None,
        syntax: str | None = None,
    ) -> Job:
        """Queues a manifest: a path, a text of several lines, or a dict.

        The same `key` again is the same job; without one each call is a job of its own, and is queued once however often it
        had to be sent. `taken`: what becomes of videos whose names are taken: `refuse`, `overwrite`, `new_name` or `skip`.
        Images and LoRA files that the manifest names are looked for in `folder`, without it where the manifest lies, and
        given to the coordinator.
        """
        about = {"owner": owner, "note": note, "labels": labels}
        said = {name: value for name, value in about.items() if value}
        read_here = Manifest.of(manifest, syntax, folder)
        line = self._driver.run(_manifests.submit(self._settings, read_here, key, taken, said))
        return Job(self._driver, self._settings, line)

    def forecast(
        self, manifest: Source, *, taken: str = "refuse", folder: StrPath | None = None, syntax: str | None = None
    ) -> Forecast:
        """What a manifest would take here and now; nothing is queued."""
        read_here = Manifest.of(manifest, syntax, folder)
        return self._driver.run(_manifests.forecast(self._settings, read_here, taken))

    def video(
        self, prompt: str, *, model: str, key: str | None = None, folder: StrPath | None = None, **settings: Any
    ) -> Video:
        """Queues one video. `settings` are those of a manifest: `seed`, `image`, `steps`, …, and `name`, `priority` and
        `output` of its job. A name that is taken becomes one that is free."""
        manifest = _manifests.video(prompt, model, settings)
        return self.submit(manifest, key=key, taken="new_name", folder=folder).video(0)

    def job(self, job: int) -> Job:
        """A job by its number."""
        return Job(self._driver, self._settings, self._driver.run(_jobs.job_line(self._settings, job)))

    def jobs(self, *, state: str | None = None) -> list[Job]:
        """The jobs, the newest first."""
        lines = self._driver.run(_jobs.jobs(self._settings, state))
        return [Job(self._driver, self._settings, line) for line in lines]

    def workers(self) -> list[WorkerStatus]:
        """The workers, those included that have gone and are not forgotten."""
        return self._driver.run(_jobs.workers(self._settings))

    def drain(self, worker: str) -> WorkerStatus:
        """Lets a worker finish the steps it has and leave, by its id or name."""
        return self._driver.run(_jobs.change_worker(self._settings, worker, {"state": "drained"}))

    def enable(self, worker: str) -> WorkerStatus:
        """Gives a worker work again."""
        return self._driver.run(_jobs.change_worker(self._settings, worker, {"state": "enabled"}))

    def note(self, worker: str, note: str | None) -> WorkerStatus:
        """Says something of a worker, for whoever looks next; None: nothing any more."""
        return self._driver.run(_jobs.change_worker(self._settings, worker, {"note": note}))

    def assign(self, worker: str, roles: Iterable[str] | None) -> WorkerStatus:
        """Gives a worker work of these roles only; None: of all that it serves."""
        assigned = None if roles is None else list(roles)
        return self._driver.run(_jobs.change_worker(self._settings, worker, {"assigned": assigned}))

    def status(self) -> FarmStatus:
        """The farm as a whole."""
        return read(FarmStatus, self._driver.run(get(self._settings, "cannot look at the farm", "/api/v1/farm")))

    def events(self, *types: str, job: int | None = None, after: int | None = None) -> Iterator[Event]:
        """What happens from now on, or since the event `after`; without end. `types` as `job.ended`; without, all."""
        happenings = Happenings(self._settings, types, job, after)
        try:
            while (event := self._driver.run(happenings.next())) is not None:
                yield event
        finally:
            self._driver.close_stream(happenings.stream)


class Job:
    """A job. `status` is its line as it was last heard of; `refresh` asks for it."""

    def __init__(self, driver: Driver, settings: Settings, status: JobStatus) -> None:
        self._driver = driver
        self._settings = settings
        self.status = status

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status.name!r} {self.status.state}>"

    @property
    def id(self) -> int:
        """Its number."""
        return self.status.job

    @property
    def state(self) -> str:
        """active, paused, done, failed or cancelled, when it was last heard of."""
        return self.status.state

    def refresh(self) -> Job:
        """Asks how it stands now."""
        self.status = self._driver.run(_jobs.job_line(self._settings, self.id))
        return self

    def watch(self) -> Iterator[Progress]:
        """Its news until it has ended: first of every video, then what changes."""
        watch = Watch(self._settings, self.id)
        try:
            while (news := self._driver.run(watch.next())) is not None:
                if isinstance(news.status, JobStatus):
                    self.status = news.status
                yield news
        finally:
            self._driver.close_stream(watch.stream)

    def wait(self, timeout: float | None = None) -> Job:
        """Waits until it has ended, whatever came of it."""
        self.status = self._driver.run(_jobs.wait(self._settings, self.id, timeout))
        return self

    def raise_for_failed(self) -> Job:
        """Raises `VideosFailed` if a video of it has failed or was cancelled."""
        self._driver.run(_jobs.raise_for_failed(self._settings, self.id))
        return self

    def videos(
        self, *, state: str | None = None, verdict: str | None = None, prompt: str | None = None
    ) -> list[VideoStatus]:
        """The lines of its videos, of all of them or of those in a state, with a verdict, or with a word in the prompt."""
        query = {"state": state, "verdict": verdict, "prompt": prompt}
        return self._driver.run(_jobs.videos(self._settings, self.id, query))

    def video(self, index: int) -> Video:
        """One of its videos, by its place in the manifest from 0."""
        return Video(self._driver, self._settings, self.id, index)

    def download(self, folder: StrPath, *, videos: Iterable[int] | None = None) -> list[Path]:
        """Fetches the files of its finished videos, or of these of them, into a folder; those that are there stay."""
        return self._driver.run(_files.download(self._settings, self.id, Path(folder), videos))

    def report(self) -> Report:
        """What came of it, and where the time went, so far."""
        return self._driver.run(_jobs.report(self._settings, self.id))

    def describe(
        self,
        *,
        owner: str | None = KEEP,
        note: str | None = KEEP,
        labels: Mapping[str, str | None] | None = None,
    ) -> Job:
        """Says whose it is, what there is to say of it, and labels; None takes one away, and what is absent stays."""
        self.status = self._driver.run(_jobs.describe(self._settings, self.id, owner, note, labels or {}))
        return self

    def pause(self) -> Job:
        """Starts nothing more of it."""
        return self._set("paused")

    def resume(self) -> Job:
        """Lets it go on."""
        return self._set("active")

    def cancel(self) -> Job:
        """Gives up what has not finished of it."""
        return self._set("cancelled")

    def retry(self) -> Job:
        """Takes up again its videos that failed or were cancelled."""
        self.status = self._driver.run(_jobs.retry(self._settings, self.id))
        return self

    def forget(self, *, cancel: bool = False) -> None:
        """Keeps nothing of it but its files; `cancel` ends it first."""
        self._driver.run(_jobs.forget(self._settings, self.id, cancel))

    def _set(self, state: str) -> Job:
        self.status = self._driver.run(_jobs.set_state(self._settings, self.id, state))
        return self


class Video:
    """A video of a job."""

    def __init__(self, driver: Driver, settings: Settings, job: int, index: int) -> None:
        self._driver = driver
        self._settings = settings
        self.job_id = job
        self.index = index

    def __repr__(self) -> str:
        return f"<Video {self.job_id}/{self.index}>"

    def status(self) -> VideoStatus:
        """How it stands now."""
        return self._driver.run(_jobs.video(self._settings, self.job_id, self.index))

    def wait(self, timeout: float | None = None) -> VideoStatus:
        """Waits until it has ended, whatever came of it."""
        return self._driver.run(_jobs.wait_video(self._settings, self.job_id, self.index, timeout))

    def files(self) -> list[OutputFile]:
        """Its files, when it is done."""
        return self._driver.run(_files.listed(self._settings, self.job_id, self.index))

    def save(self, path: StrPath, *, timeout: float | None = None) -> Path:
        """Waits until it is done, and fetches its file with the ending of `path`: .mp4, .gif, .png or .json."""
        status = self.wait(timeout)
        if status.state != "done":
            line = self._driver.run(_jobs.job_line(self._settings, self.job_id))
            raise VideosFailed(line, [status])
        return self._driver.run(_files.save(self._settings, self.job_id, self.index, Path(path)))

    def cancel(self) -> VideoStatus:
        """Gives it up."""
        return self._driver.run(_jobs.cancel_video(self._settings, self.job_id, self.index))

    def retry(self) -> VideoStatus:
        """Takes it up again."""
        return self._driver.run(_jobs.retry_video(self._settings, self.job_id, self.index))
