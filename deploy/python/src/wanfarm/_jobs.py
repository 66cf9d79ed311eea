"""Jobs, videos and workers: told, steered, waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ._ask import ask, get, send
from ._flow import Flow, Sleep
from ._settings import Settings
from .errors import NotFound, OutOfTime, VideosFailed
from .models import JobStatus, Problem, Report, VideoStatus, WorkerStatus, read

#: Of a note, an owner or a label: as it is. None takes it away.
KEEP: Any = object()
#: Between two looks at a job that is waited for.
FIRST_LOOK = 0.1
LATER_LOOKS = 2.0


def job_and_videos(settings: Settings, job: int) -> Flow[tuple[JobStatus, list[VideoStatus]]]:
    """A job's line and all its videos."""
    videos: list[VideoStatus] = []
    query: dict[str, str] = {}
    while True:
        page = yield from get(settings, f"cannot look at job {job}", f"/api/v1/jobs/{job}", query)
        videos += [read(VideoStatus, line) for line in page.get("videos", [])]
        if not page.get("next_cursor"):
            return read(JobStatus, page.get("job")), videos
        query = {"cursor": page["next_cursor"]}


def job_line(settings: Settings, job: int) -> Flow[JobStatus]:
    page = yield from get(settings, f"cannot look at job {job}", f"/api/v1/jobs/{job}", {"limit": "1"})
    return read(JobStatus, page.get("job"))


def jobs(settings: Settings, state: str | None) -> Flow[list[JobStatus]]:
    lines = yield from pages(settings, "cannot list jobs", "/api/v1/jobs", "jobs", {"state": state})
    return [read(JobStatus, line) for line in lines]


def videos(settings: Settings, job: int, query: Mapping[str, str | None]) -> Flow[list[VideoStatus]]:
    what = f"cannot list the videos of job {job}"
    lines = yield from pages(settings, what, f"/api/v1/jobs/{job}/videos", "videos", query)
    return [read(VideoStatus, line) for line in lines]


def video(settings: Settings, job: int, index: int) -> Flow[VideoStatus]:
    line = yield from get(settings, f"cannot look at video {index} of job {job}", f"/api/v1/jobs/{job}/videos/{index}")
    return read(VideoStatus, line)


def workers(settings: Settings) -> Flow[list[WorkerStatus]]:
    told = yield from get(settings, "cannot list workers", "/api/v1/workers")
    return [read(WorkerStatus, line) for line in told.get("workers", [])]


def report(settings: Settings, job: int) -> Flow[Report]:
    told = yield from get(settings, f"there is no report of job {job}", f"/api/v1/jobs/{job}/report.json")
    return read(Report, told)


def pages(
    settings: Settings, what: str, path: str, name: str, query: Mapping[str, str | None]
) -> Flow[list[dict[str, Any]]]:
    """The lines of all pages."""
    asked = {key: value for key, value in query.items() if value is not None}
    lines: list[dict[str, Any]] = []
    while True:
        page = yield from get(settings, what, path, asked)
        lines += page.get(name, [])
        if not page.get("next_cursor"):
            return lines
        asked["cursor"] = page["next_cursor"]


def set_state(settings: Settings, job: int, state: str) -> Flow[JobStatus]:
    line = yield from send(settings, f"job {job} cannot be {state}", "PATCH", f"/api/v1/jobs/{job}", {"state": state})
    return read(JobStatus, line)


def describe(settings: Settings, job: int, owner: Any, note: Any, labels: Mapping[str, str | None]) -> Flow[JobStatus]:
    """Says something else of a job; what is KEEP stays."""
    said = {name: value for name, value in (("owner", owner), ("note", note)) if value is not KEEP}
    body = said | {"labels": dict(labels)}
    line = yield from send(settings, f"that cannot be said of job {job}", "PATCH", f"/api/v1/jobs/{job}", body)
    return read(JobStatus, line)


def retry(settings: Settings, job: int) -> Flow[JobStatus]:
    what = f"job {job} cannot be tried again"
    line = yield from send(settings, what, "POST", f"/api/v1/jobs/{job}/retry", None, repeatable=False)
    return read(JobStatus, line)


def forget(settings: Settings, job: int, cancel: bool) -> Flow[None]:
    what, query = f"job {job} cannot be forgotten", {"cancel": "1"} if cancel else {}
    yield from ask(settings, what, "DELETE", f"/api/v1/jobs/{job}", query=query, repeatable=False)


def cancel_video(settings: Settings, job: int, index: int) -> Flow[VideoStatus]:
    what, path = f"video {index} of job {job} cannot be cancelled", f"/api/v1/jobs/{job}/videos/{index}"
    line = yield from send(settings, what, "PATCH", path, {"state": "cancelled"})
    return read(VideoStatus, line)


def retry_video(settings: Settings, job: int, index: int) -> Flow[VideoStatus]:
    what, path = f"video {index} of job {job} cannot be tried again", f"/api/v1/jobs/{job}/videos/{index}/retry"
    line = yield from send(settings, what, "POST", path, None, repeatable=False)
    return read(VideoStatus, line)


def change_worker(settings: Settings, worker: str, change: Mapping[str, Any]) -> Flow[WorkerStatus]:
    """Drains or enables a worker, by its id or its name."""
    found = yield from find_worker(settings, worker)
    what = f"worker {worker} cannot be changed so"
    line = yield from send(settings, what, "PATCH", f"/api/v1/workers/{found.id}", dict(change))
    return read(WorkerStatus, line)


def find_worker(settings: Settings, worker: str) -> Flow[WorkerStatus]:
    """A worker by its id or its name; of several with one name the one that lives."""
    lines = yield from workers(settings)
    gone = ("gone", "left (drained)", "refused")
    found = [line for line in lines if worker in (line.id, line.name)]
    found.sort(key=lambda line: (line.id != worker, line.state in gone))
    if not found:
        names = ", ".join(sorted({line.name for line in lines})) or "nothing: there are none"
        problem = Problem(status=404, title="Not Found", detail=f"the workers are called {names}")
        raise NotFound(f"there is no worker {worker!r}", problem)
    return found[0]


def wait(settings: Settings, job: int, seconds: float | None) -> Flow[JobStatus]:
    """The line of a job that has ended."""
    until = None if seconds is None else time.monotonic() + seconds
    pause = FIRST_LOOK
    while True:
        line = yield from job_line(settings, job)
        if line.has_ended:
            return line
        pause = yield from _pause(pause, until, f"job {job} has not ended: {line.done} of {line.videos} videos are done")


def wait_video(settings: Settings, job: int, index: int, seconds: float | None) -> Flow[VideoStatus]:
    """The line of a video that has ended."""
    until = None if seconds is None else time.monotonic() + seconds
    pause = FIRST_LOOK
    while True:
        line = yield from video(settings, job, index)
        if line.has_ended:
            return line
        what = f"video {index} of job {job} is {line.state}, {line.steps_done} of {line.steps} steps are done"
        pause = yield from _pause(pause, until, what)


def _pause(seconds: float, until: float | None, what: str) -> Flow[float]:
    left = None if until is None else until - time.monotonic()
    if left is not None and left <= 0:
        raise OutOfTime(f"{what}; it goes on, and can be waited for again")
    yield Sleep(seconds if left is None else min(seconds, left))
    return min(seconds * 1.5, LATER_LOOKS)


def raise_for_failed(settings: Settings, job: int) -> Flow[None]:
    """Raises unless every video that has ended is done."""
    line, told = yield from job_and_videos(settings, job)
    failed = [one for one in told if one.has_ended and one.state != "done"]
    if failed:
        raise VideosFailed(line, failed)
