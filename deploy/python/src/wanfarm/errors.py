"""What can go wrong. Each error says what, where, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import Fault, JobStatus, Problem, VideoStatus


class WanfarmError(Exception):
    """Whatever this package raises."""


class NoConnection(WanfarmError):
    """The coordinator does not answer, and did not for as long as it is waited for."""

    def __init__(self, url: str, why: str, unsure: str = "") -> None:
        super().__init__(f"no answer from the coordinator at {url}: {why}; is it running, and is that its address?{unsure}")
        self.url = url
        self.why = why


class NotACoordinator(WanfarmError):
    """Something answers, but not as a coordinator does."""


class Refused(WanfarmError):
    """The coordinator does not do it; `problem` says why."""

    def __init__(self, what: str, problem: Problem) -> None:
        super().__init__(f"{what}: {problem.detail or problem.title} ({problem.status})")
        self.problem = problem


class NotFound(Refused):
    """There is no such job, video, worker or file."""


class Conflict(Refused):
    """It cannot be done now: a name that is taken, a job that has ended, a key that another job has."""


class ManifestFaults(Refused):
    """The manifest has faults: all of them are in `faults`, with line and column."""

    def __init__(self, name: str, problem: Problem, missing: Sequence[str] = ()) -> None:
        super().__init__(name, problem)
        self.name = name
        self.faults: tuple[Fault, ...] = problem.faults
        #: Files that the manifest names and that are not here.
        self.missing: tuple[str, ...] = tuple(missing)
        lines = [fault.words(name) for fault in self.faults]
        lines += [f"not found here: {path}" for path in self.missing]
        if lines:
            self.args = ("\n".join([str(self), *lines]),)


class NothingToRender(WanfarmError):
    """Every video of the manifest stands there whole already, and `taken="skip"` leaves those out."""


class VideosFailed(WanfarmError):
    """Videos of a job came to nothing."""

    def __init__(self, job: JobStatus, videos: Sequence[VideoStatus]) -> None:
        first = [f"video {video.index}: {video.error or video.state}" for video in videos[:10]]
        more = [f"and {len(videos) - 10} more"] if len(videos) > 10 else []
        what = f"{len(videos)} of {job.videos} videos of job {job.job} {job.name!r} are not done"
        help = "mend the cause, then Job.retry() takes them up again"
        super().__init__("\n".join([f"{what}; {help}", *first, *more]))
        self.job = job
        self.videos = tuple(videos)


class OutOfTime(WanfarmError, TimeoutError):
    """It has not ended in the time that was given; it goes on nevertheless."""


class Damaged(WanfarmError):
    """A file does not hold what was written."""


class FilesLost(WanfarmError):
    """Files of finished videos are not there any more as they were written; all others are `fetched`."""

    def __init__(self, lost: Sequence[str], fetched: Sequence[Path]) -> None:
        names = ", ".join(lost[:10]) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
        super().__init__(f"the coordinator does not have these files any more as they were written: {names}")
        self.lost = tuple(lost)
        self.fetched = tuple(fetched)


class NeedsBlake3(WanfarmError):
    """The package blake3 is not installed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} needs the package blake3: pip install 'wanfarm[blake3]'")
