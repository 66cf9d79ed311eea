"""What needs no coordinator."""

from __future__ import annotations

import inspect
from datetime import datetime, timezone

import pytest

import wanfarm
from wanfarm import _files, _manifests, _sse
from wanfarm.models import JobStatus, Problem, VideoStatus, WorkerStatus, read


def test_what_is_not_known_is_kept_and_what_is_missing_is_the_default() -> None:
    told = {"job": 7, "state": "dreaming", "moon": {"full": True}, "submitted": "2026-11-28T01:02:03.456Z", "done": None}
    line = read(JobStatus, told)
    assert (line.job, line.state, line.done, dict(line.more)) == (7, "dreaming", 0, {"moon": {"full": True}})
    assert line.submitted == datetime(2026, 11, 28, 1, 2, 3, 456000, timezone.utc)
    assert not line.has_ended
    assert read(JobStatus, ["no object"]) == JobStatus()
    video = read(VideoStatus, {"files": ["a", 3, "b"], "loading": {"read_bytes": 1, "of_bytes": 2, "seconds": 1}})
    assert video.files == ("a", "b")
    assert video.loading is not None
    assert video.loading.seconds == 1.0
    worker = read(WorkerStatus, {"running": {"video": "7/3"}, "assigned": None, "memory_bytes": True})
    assert worker.running is not None
    assert (worker.running.video, worker.assigned, worker.memory_bytes) == ("7/3", None, None)


def test_faults_are_words() -> None:
    fault = {"line": 3, "column": 9, "key": "video[0].seed", "message": "no", "why": "so", "help": "mend it"}
    problem = read(Problem, {"status": 422, "detail": "the manifest has 1 fault", "faults": [fault]})
    error = wanfarm.ManifestFaults("night.toml", problem, ["a.png"])
    told = "night.toml: the manifest has 1 fault (422)\nnight.toml:3:9: no (so); mend it\nnot found here: a.png"
    assert str(error) == told


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_messages_are_made_of_pieces(size: int) -> None:
    text = (
        b'retry: 1000\nevent: hello\ndata: {"a": 1}\n\n: still here\n\nid: 7\r\nevent: video\r\ndata: x\r\ndata: y\r\n\r\n'
    )
    parser, heard = _sse.Parser(), []
    for start in range(0, len(text), size):
        heard += parser.feed(text[start : start + size])
    assert [(message.type, message.data) for message in heard] == [("hello", '{"a": 1}'), ("video", "x\ny")]
    assert parser.last_id == "7"


def test_syntaxes_are_guessed_as_the_command_line_does() -> None:
    for text, syntax in [
        ("# x\n[job]\n", "toml"),
        ("job = { model = 'm' }\n", "toml"),
        ("job:\n  model: m\n", "yaml"),
        ("---\njob: {}\n", "yaml"),
        ("\n{}\n", "json"),
    ]:
        assert _manifests.guess(text) == syntax, text


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\b", "C:x", "a\0", "x" * 256])
def test_no_name_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(wanfarm.NotACoordinator):
        _files.parts(path)


def test_asyncio_has_whatever_threads_have() -> None:
    for name in ("Farm", "Job", "Video"):
        sync, alike = getattr(wanfarm, name), getattr(wanfarm, f"Async{name}")
        methods = {key for key in vars(sync) if not key.startswith("_")}
        assert methods == {key for key in vars(alike) if not key.startswith("_")}
        for method in methods:
            ours, theirs = inspect.getattr_static(sync, method), inspect.getattr_static(alike, method)
            if inspect.isfunction(ours):
                assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), method
            assert ours.__doc__ == theirs.__doc__
