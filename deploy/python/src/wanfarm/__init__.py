"""Queue, watch and fetch videos of a wanfarm coordinator.

    farm = wanfarm.Farm("http://studio-1:7700")
    job = farm.submit("night.toml", key="2026-11-28", labels={"shot": "010"})
    for news in job.watch():
        print(news.video, news.stage, news.steps_done)
    job.wait().raise_for_failed().download("renders/")

`AsyncFarm` is the same for asyncio.
"""

from .aio import AsyncFarm, AsyncJob, AsyncVideo
from .errors import (
    Conflict,
    Damaged,
    FilesLost,
    ManifestFaults,
    NeedsBlake3,
    NoConnection,
    NotACoordinator,
    NotFound,
    NothingToRender,
    OutOfTime,
    Refused,
    VideosFailed,
    WanfarmError,
)
from .farm import Farm, Job, Video
from .models import (
    Effort,
    Event,
    FarmStatus,
    Fault,
    Forecast,
    JobStatus,
    OutputFile,
    Problem,
    Progress,
    Report,
    VideoStatus,
    WorkerStatus,
)

__version__ = "0.1.0"

__all__ = [
    "AsyncFarm",
    "AsyncJob",
    "AsyncVideo",
    "Conflict",
    "Damaged",
    "Effort",
    "Event",
    "Farm",
    "FarmStatus",
    "Fault",
    "FilesLost",
    "Forecast",
    "Job",
    "JobStatus",
    "ManifestFaults",
    "NeedsBlake3",
    "NoConnection",
    "NotACoordinator",
    "NotFound",
    "NothingToRender",
    "OutOfTime",
    "OutputFile",
    "Problem",
    "Progress",
    "Refused",
    "Report",
    "Video",
    "VideoStatus",
    "VideosFailed",
    "WanfarmError",
    "WorkerStatus",
]
