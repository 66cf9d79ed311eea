"""The same for asyncio: a farm, its jobs and their videos."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from . import _files, _jobs, _manifests
from ._ask import get
from ._async import AsyncDriver
from ._jobs import KEEP
from ._manifests import Manifest, Source
from ._settings import Settings
from ._streams import Happenings, Watch
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


class AsyncFarm:
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
        self._driver = AsyncDriver(self._settings)

    def __repr__(self) -> str:
        return f"AsyncFarm({self.url!r})"

    async def __aenter__(self) -> AsyncFarm:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._driver.close()

    @property
    def url(self) -> str:
        """The address of the coordinator."""
        return self._settings.url

    async def submit(
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
    ) -> AsyncJob:
        """Queues a manifest: a path, a text of several lines, or a dict.

        The same `key` again is the same job; without one each call is a job of its own, and is queued once however often it
        had to be sent. `taken`: what becomes of videos whose names are taken: `refuse`, `overwrite`, `new_name` or `skip`.
        Images and LoRA files that the manifest names are looked for in `folder`, without it where the manifest lies, and
        given to the coordinator.
        """
        about = {"owner": owner, "note": note, "labels": labels}
        said = {name: value for name, value in about.items() if value}
        read_here = Manifest.of(manifest, syntax, folder)
        line = await self._driver.run(_manifests.submit(self._settings, read_here, key, taken, said))
        return AsyncJob(self._driver, self._settings, line)

    async def forecast(
        self, manifest: Source, *, taken: str = "refuse", folder: StrPath | None = None, syntax: str | None = None
    ) -> Forecast:
        """What a manifest would take here and now; nothing is queued."""
        read_here = Manifest.of(manifest, syntax, folder)
        return await self._driver.run(_manifests.forecast(self._settings, read_here, taken))

    async def video(
        self, prompt: str, *, model: str, key: str | None = None, folder: StrPath | None = None, **settings: Any
    ) -> AsyncVideo:
        """Queues one video. `settings` are those of a manifest: `seed`, `image`, `steps`, …, and `name`, `priority` and
        `output` of its job. A name that is taken becomes one that is free."""
        manifest = _manifests.video(prompt, model, settings)
        return (await self.submit(manifest, key=key, taken="new_name", folder=folder)).video(0)

    async def job(self, job: int) -> AsyncJob:
        """A job by its number."""
        return AsyncJob(self._driver, self._settings, await self._driver.run(_jobs.job_line(self._settings, job)))

    async def jobs(self, *, state: str | None = None) -> list[AsyncJob]:
        """The jobs, the newest first."""
        lines = await self._driver.run(_jobs.jobs(self._settings, state))
        return [AsyncJob(self._driver, self._settings, line) for line in lines]

    async def workers(self) -> list[WorkerStatus]:
        """The workers, those included that have gone and are not forgotten."""
        return await self._driver.run(_jobs.workers(self._settings))

    async def drain(self, worker: str) -> WorkerStatus:
        """Lets a worker finish the steps it has and leave, by its id or name."""
        return await self._driver.run(_jobs.change_worker(self._settings, worker, {"state": "drained"}))

    async def enable(self, worker: str) -> WorkerStatus:
        """Gives a worker work again."""
        return await self._driver.run(_jobs.change_worker(self._settings, worker, {"state": "enabled"}))

    async def note(self, worker: str, note: str | None) -> WorkerStatus:
        """Says something of a worker, for whoever looks next; None: nothing any more."""
        return await self._driver.run(_jobs.change_worker(self._settings, worker, {"note": note}))

    async def assign(self, worker: str, roles: Iterable[str] | None) -> WorkerStatus:
        """Gives a worker work of these roles only; None: of all that it serves."""
        assigned = None if roles is None else list(roles)
        return await self._driver.run(_jobs.change_worker(self._settings, worker, {"assigned": assigned}))

    async def status(self) -> FarmStatus:
        """The farm as a whole."""
        return read(FarmStatus, await self._driver.run(get(self._settings, "cannot look at the farm", "/api/v1/farm")))

    async def events(self, *types: str, job: int | None = None, after: int | None = None) -> AsyncIterator[Event]:
        """What happens from now on, or since the event `after`; without end. `types` as `job.ended`; without, all."""
        happenings = Happenings(self._settings, types, job, after)
        try:
            while (event := await self._driver.run(happenings.next())) is not None:
                yield event
        finally:
            await self._driver.close_stream(happenings.stream)


class AsyncJob:
    """A job. `status` is its line as it was last heard of; `refresh` asks for it."""

    def __init__(self, driver: AsyncDriver, settings: Settings, status: JobStatus) -> None:
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

    async def refresh(self) -> AsyncJob:
        """Asks how it stands now."""
        self.status = await self._driver.run(_jobs.job_line(self._settings, self.id))
        return self

    async def watch(self) -> AsyncIterator[Progress]:
        """Its news until it has ended: first of every video, then what changes."""
        watch = Watch(self._settings, self.id)
        try:
            while (news := await self._driver.run(watch.next())) is not None:
                if isinstance(news.status, JobStatus):
                    self.status = news.status
                yield news
        finally:
            await self._driver.close_stream(watch.stream)

    async def wait(self, timeout: float | None = None) -> AsyncJob:
        """Waits until it has ended, whatever came of it."""
        self.status = await self._driver.run(_jobs.wait(self._settings, self.id, timeout))
        return self

    async def raise_for_failed(self) -> AsyncJob:
        """Raises `VideosFailed` if a video of it has failed or was cancelled."""
        await self._driver.run(_jobs.raise_for_failed(self._settings, self.id))
        return self

    async def videos(
        self, *, state: str | None = None, verdict: str | None = None, prompt: str | None = None
    ) -> list[VideoStatus]:
        """The lines of its videos, of all of them or of those in a state, with a verdict, or with a word in the prompt."""
        query = {"state": state, "verdict": verdict, "prompt": prompt}
        return await self._driver.run(_jobs.videos(self._settings, self.id, query))

    def video(self, index: int) -> AsyncVideo:
        """One of its videos, by its place in the manifest from 0."""
        return AsyncVideo(self._driver, self._settings, self.id, index)

    async def download(self, folder: StrPath, *, videos: Iterable[int] | None = None) -> list[Path]:
        """Fetches the files of its finished videos, or of these of them, into a folder; those that are there stay."""
        return await self._driver.run(_files.download(self._settings, self.id, Path(folder), videos))

    async def report(self) -> Report:
        """What came of it, and where the time went, so far."""
        return await self._driver.run(_jobs.report(self._settings, self.id))

    async def describe(
        self,
        *,
        owner: str | None = KEEP,
        note: str | None = KEEP,
        labels: Mapping[str, str | None] | None = None,
    ) -> AsyncJob:
        """Says whose it is, what there is to say of it, and labels; None takes one away, and what is absent stays."""
        self.status = await self._driver.run(_jobs.describe(self._settings, self.id, owner, note, labels or {}))
        return self

    async def pause(self) -> AsyncJob:
        """Starts nothing more of it."""
        return await self._set("paused")

    async def resume(self) -> AsyncJob:
        """Lets it go on."""
        return await self._set("active")

    async def cancel(self) -> AsyncJob:
        """Gives up what has not finished of it."""
        return await self._set("cancelled")

    async def retry(self) -> AsyncJob:
        """Takes up again its videos that failed or were cancelled."""
        self.status = await self._driver.run(_jobs.retry(self._settings, self.id))
        return self

    async def forget(self, *, cancel: bool = False) -> None:
        """Keeps nothing of it but its files; `cancel` ends it first."""
        await self._driver.run(_jobs.forget(self._settings, self.id, cancel))

    async def _set(self, state: str) -> AsyncJob:
        self.status = await self._driver.run(_jobs.set_state(self._settings, self.id, state))
        return self


class AsyncVideo:
    """A video of a job."""

    def __init__(self, driver: AsyncDriver, settings: Settings, job: int, index: int) -> None:
        self._driver = driver
        self._settings = settings
        self.job_id = job
        self.index = index

    def __repr__(self) -> str:
        return f"<Video {self.job_id}/{self.index}>"

    async def status(self) -> VideoStatus:
        """How it stands now."""
        return await self._driver.run(_jobs.video(self._settings, self.job_id, self.index))

    async def wait(self, timeout: float | None = None) -> VideoStatus:
        """Waits until it has ended, whatever came of it."""
        return await self._driver.run(_jobs.wait_video(self._settings, self.job_id, self.index, timeout))

    async def files(self) -> list[OutputFile]:
        """Its files, when it is done."""
        return await self._driver.run(_files.listed(self._settings, self.job_id, self.index))

    async def save(self, path: StrPath, *, timeout: float | None = None) -> Path:
        """Waits until it is done, and fetches its file with the ending of `path`: .mp4, .gif, .png or .json."""
        status = await self.wait(timeout)
        if status.state != "done":
            line = await self._driver.run(_jobs.job_line(self._settings, self.job_id))
            raise VideosFailed(line, [status])
        return await self._driver.run(_files.save(self._settings, self.job_id, self.index, Path(path)))

    async def cancel(self) -> VideoStatus:
        """Gives it up."""
        return await self._driver.run(_jobs.cancel_video(self._settings, self.job_id, self.index))

    async def retry(self) -> VideoStatus:
        """Takes it up again."""
        return await self._driver.run(_jobs.retry_video(self._settings, self.job_id, self.index))
