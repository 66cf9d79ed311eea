"""Streams that go on: news of a job, and what happens on a farm. A connection that breaks is made again, and what was missed
meanwhile is asked for."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from ._ask import Patience, refusal
from ._flow import Broken, Close, Flow, Open, Stream, open_stream, read_stream
from ._jobs import job_and_videos
from ._settings import Settings
from ._sse import Message, Parser
from .errors import NotFound
from .models import Event, JobStatus, Problem, Progress, VideoStatus, read


class Listener:
    """A stream of events, made again when it breaks."""

    def __init__(self, settings: Settings, query: dict[str, str], last_id: str | None = None) -> None:
        self._settings = settings
        self._query = query
        self._last_id = last_id
        self._patience = Patience(settings)
        self._parser = Parser()
        self._heard: deque[Message] = deque()
        #: What has to be closed when nobody listens any more.
        self.stream: Stream | None = None

    def next(self) -> Flow[Message]:
        """The next message; `hello` when the stream is made, also when it is made again."""
        while not self._heard:
            try:
                if self.stream is None:
                    self.stream = yield from self._open()
                chunk = yield from read_stream(self.stream)
            except Broken as why:
                yield from self.close()
                yield from self._patience.wait(str(why))
                continue
            if chunk is None:
                # It ends when the coordinator does, or for a listener that is too slow.
                yield from self.close()
                yield from self._patience.wait("the stream of events has ended")
                continue
            self._patience.renew()
            self._heard.extend(self._parser.feed(chunk))
            self._last_id = self._parser.last_id or self._last_id
        return self._heard.popleft()

    def close(self) -> Flow[None]:
        if self.stream is not None:
            yield Close(self.stream)
        self.stream = None
        self._parser = Parser()
        self._heard.clear()

    def _open(self) -> Flow[Stream]:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": self._last_id} if self._last_id else {})
        stream = yield from open_stream(Open("/api/v1/events", self._query, headers, self._settings.silence))
        if stream.status in (502, 503, 504):
            raise Broken(f"it answers {stream.status}", False)
        if stream.status >= 400:
            raise refusal("cannot listen to what happens", stream)
        return stream


class Watch:
    """News of one job, until it has ended: first every video, then what changes."""

    def __init__(self, settings: Settings, job: int) -> None:
        self._settings = settings
        self._job = job
        self._listener = Listener(settings, {"job": str(job), "type": "job,video,job.forgotten"})
        self._known: dict[int, VideoStatus] = {}
        self._line: JobStatus | None = None
        self._news: deque[Progress] = deque()
        self._has_ended = False

    @property
    def stream(self) -> Stream | None:
        return self._listener.stream

    def next(self) -> Flow[Progress | None]:
        """The next; None when the job has ended and everything of it was told."""
        while not self._news:
            if self._has_ended:
                yield from self._listener.close()
                return None
            message = yield from self._listener.next()
            data = _object(message)
            if message.type in ("hello", "resync"):
                # Asked for after the stream has begun, so nothing falls between.
                yield from self._look()
            elif message.type == "video":
                self._tell_videos([read(VideoStatus, {key: value for key, value in data.items() if key != "job"})])
            elif message.type == "job":
                line = read(JobStatus, data)
                if line.has_ended:
                    yield from self._look()
                else:
                    self._tell_job(line)
            elif message.type == "event" and data.get("type") == "job.forgotten":
                gone = Problem(status=404, title="Not Found", detail=f"job {self._job} was forgotten")
                raise NotFound(f"cannot watch job {self._job}", gone)
        return self._news.popleft()

    def _look(self) -> Flow[None]:
        line, videos = yield from job_and_videos(self._settings, self._job)
        self._tell_videos(videos)
        self._tell_job(line)
        self._has_ended = line.has_ended

    def _tell_videos(self, videos: Iterable[VideoStatus]) -> None:
        for video in videos:
            if self._known.get(video.index) == video:
                continue
            self._known[video.index] = video
            self._news.append(
                Progress(
                    job=self._job,
                    video=video.index,
                    state=video.state,
                    stage=video.stage,
                    steps_done=video.steps_done,
                    steps=video.steps,
                    worker=video.worker,
                    error=video.error,
                    status=video,
                )
            )

    def _tell_job(self, line: JobStatus) -> None:
        if self._line != line:
            self._line = line
            self._news.append(Progress(job=self._job, video=None, state=line.state, status=line))


class Happenings:
    """What happens on a farm, without end."""

    def __init__(self, settings: Settings, types: Iterable[str], job: int | None, after: int | None) -> None:
        query = {"type": ",".join(types) or "event"} | ({} if job is None else {"job": str(job)})
        self._listener = Listener(settings, query, None if after is None else str(after))

    @property
    def stream(self) -> Stream | None:
        return self._listener.stream

    def next(self) -> Flow[Event | None]:
        while True:
            message = yield from self._listener.next()
            data = _object(message)
            if message.type == "event":
                return read(Event, data)
            if message.type == "resync":
                return Event(type="resync", job=data.get("job"), detail=data.get("reason"))


def _object(message: Message) -> dict[str, Any]:
    try:
        data = json.loads(message.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
