"""A real coordinator and a real worker, asked as scripts do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import zlib
from pathlib import Path

import httpx
import pytest
from farms import Night, manifest, until

import wanfarm


def test_a_job_is_queued_watched_and_fetched(night: Night, tmp_path: Path) -> None:
    farm = night.farm
    file = tmp_path / "night.toml"
    file.write_text(manifest("fetched", 2, more='formats = ["mp4", "png", "contact"]'))
    forecast = farm.forecast(file)
    assert (forecast.name, forecast.videos, forecast.taken) == ("fetched", 2, None)
    job = farm.submit(file, key="fetched", labels={"shot": "010"}, owner="ann")
    assert farm.submit(file, key="fetched").id == job.id, "the same key is the same job"
    news = list(job.watch())
    assert {one.video for one in news} == {None, 0, 1}
    assert [one.state for one in news if one.video == 0][-1] == "done"
    steps = [one.steps_done for one in news if one.video == 1]
    assert steps == sorted(steps)
    assert steps[-1] == 4
    assert news[-1].video is None
    assert news[-1].state == "done"
    job.wait(timeout=30).raise_for_failed()
    assert (job.status.labels, job.status.owner, job.status.has_ended) == ({"shot": "010"}, "ann", True)
    assert job.status.submitted is not None
    assert job.status.submitted.tzinfo is not None

    there = job.download(tmp_path / "renders")
    assert len(there) == 2 * (1 + 5 + 1 + 1)
    for path in there:
        assert path.read_bytes() == (night.folder / "output" / path.relative_to(tmp_path / "renders")).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in there}
    assert job.download(tmp_path / "renders") == there
    assert before == {path: path.stat().st_mtime_ns for path in there}, "what is there stays"
    assert not list((tmp_path / "renders").rglob("*.part"))
    only = job.download(tmp_path / "one", videos=[1])
    assert len(only) == 8
    report = job.report()
    assert report.job.done == 2
    assert {line.name for line in report.workers} == {"worker"}
    assert [line.id for line in farm.jobs(state="done") if line.id == job.id] == [job.id]
    job.describe(note="good", labels={"shot": None})
    assert (job.status.note, job.status.labels, job.status.owner) == ("good", {}, "ann")
    job.forget()
    with pytest.raises(wanfarm.NotFound, match=f"there is no job {job.id}"):
        job.refresh()


def test_one_video_is_one_call(night: Night, tmp_path: Path) -> None:
    settings = {"width": 64, "height": 64, "frames": 5, "steps": 4, "seed": 7}
    video = night.farm.video("a red circle {with braces}", model="wan-tiny-t2v", **settings)
    path = video.save(tmp_path / "deep" / "fox.mp4", timeout=60)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert video.status().prompt == "a red circle {with braces}"
    spec = json.loads(video.save(tmp_path / "fox.json").read_text())["spec"]
    assert spec["seed"] == 7
    with pytest.raises(wanfarm.WanfarmError, match=r"has no \.gif: it has \.json, \.mp4"):
        video.save(tmp_path / "fox.gif")
    again = night.farm.video("a red circle {with braces}", model="wan-tiny-t2v", **settings)
    assert again.job_id != video.job_id
    again.cancel()


def test_faults_have_lines(night: Night) -> None:
    text = manifest("faulty", 1).replace("steps = 4", "step = 4\nshift = -1")
    with pytest.raises(wanfarm.ManifestFaults) as caught:
        night.farm.submit(text)
    faults = caught.value.faults
    assert [(fault.line, fault.key) for fault in faults] == [(10, "defaults.step"), (11, "defaults.shift")]
    assert faults[0].help == "did you mean `steps`?"
    assert "manifest:10:1: unknown key `step`" in str(caught.value)
    with pytest.raises(wanfarm.ManifestFaults):
        night.farm.forecast({"job": {"model": "m"}, "video": [{"prompt": ""}]})
    with pytest.raises(wanfarm.NotFound, match="there is no job 4711"):
        night.farm.job(4711)
    with pytest.raises(wanfarm.NotFound, match=r"there is no worker 'nobody': .*called worker"):
        night.farm.drain("nobody")


def test_names_that_are_taken_are_a_conflict(night: Night) -> None:
    text = manifest("taken", 1)
    night.farm.submit(text).wait(timeout=60)
    with pytest.raises(wanfarm.Conflict, match=r"has a name that is taken|names that are taken"):
        night.farm.submit(text)
    with pytest.raises(wanfarm.NothingToRender, match="1 are left out"):
        night.farm.submit(text, taken="skip")


def test_what_failed_is_raised(night: Night) -> None:
    # So many steps that it is cancelled before it is done.
    job = night.farm.submit(manifest("failed", 3, steps=200))
    job.video(1).cancel()
    with pytest.raises(wanfarm.OutOfTime, match="it goes on"):
        job.wait(timeout=0.2)
    job.cancel()
    job.wait(timeout=60)
    with pytest.raises(wanfarm.VideosFailed, match=r"3 of 3 videos of job \d+ 'failed' are not done") as caught:
        job.raise_for_failed()
    assert [video.state for video in caught.value.videos] == ["cancelled"] * 3
    with pytest.raises(wanfarm.VideosFailed):
        job.video(1).save("never.mp4")


def test_asyncio_does_the_same(night: Night, tmp_path: Path) -> None:
    async def main() -> None:
        async with wanfarm.AsyncFarm(night.url) as farm:
            texts = [manifest(f"async-{n}", 1) for n in range(3)]
            jobs = await asyncio.gather(*(farm.submit(text) for text in texts))

            async def watched(job: wanfarm.AsyncJob) -> list[wanfarm.Progress]:
                return [news async for news in job.watch()]

            for news in await asyncio.gather(*(watched(job) for job in jobs)):
                assert (news[-1].video, news[-1].state) == (None, "done")
            await (await jobs[0].wait()).raise_for_failed()
            there = await jobs[0].download(tmp_path)
            assert {path.suffix for path in there} == {".mp4", ".json"}
            assert (await farm.status()).workers
            with pytest.raises(wanfarm.NotFound):
                await farm.job(4711)
            # Somebody who is cancelled leaves no connection behind.
            listening = asyncio.create_task(anext(farm.events("job.forgotten")))
            await asyncio.sleep(0.2)
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    asyncio.run(asyncio.wait_for(main(), 120))


def test_events_are_told_from_where_they_were_heard(night: Night) -> None:
    job = night.farm.submit(manifest("events", 1))
    job.wait(timeout=60)
    for event in night.farm.events("job.submitted", "job.ended", job=job.id, after=1):
        if event.type == "job.ended":
            break
    assert (event.job, event.after, event.name) == (job.id, "done", "events")


def test_pictures_are_given_and_faults_of_them_told(night: Night, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "a.png").write_bytes(picture(64))
    (tmp_path / "shots" / "b.png").write_bytes(picture(32))
    file = tmp_path / "pictures.toml"
    file.write_text(manifest("pictures", 1, video='[[video]]\nprompt = "{image}"\nimage = "shots/*.png"'))
    # The demo model takes none, which is known only when they have arrived.
    with pytest.raises(wanfarm.ManifestFaults) as caught:
        night.farm.submit(file)
    assert not caught.value.missing
    assert "takes no first frame" in caught.value.faults[0].message
    (tmp_path / "shots" / "a.png").unlink()
    (tmp_path / "shots" / "b.png").unlink()
    with pytest.raises(wanfarm.ManifestFaults, match=r"not found here: shots/\*\.png") as caught:
        night.farm.submit(file)
    assert caught.value.missing == ("shots/*.png",)
    # A coordinator gets pictures, clips and LoRA files, whatever it asks for.
    (tmp_path / "shots" / "secret.png").write_text("a password")
    with pytest.raises(wanfarm.WanfarmError, match="neither a picture"):
        night.farm.submit(file)


def test_a_queued_job_has_its_picture(own_night: Night, tmp_path: Path) -> None:
    own_night.serve()
    (tmp_path / "a.png").write_bytes(picture(64))
    # Nobody serves the model yet, so nobody knows that it takes no picture.
    job = own_night.farm.submit(manifest("waits", 1, video='[[video]]\nprompt = "b"\nimage = "a.png"'), folder=tmp_path)
    assert job.refresh().status.waiting_for == "a worker that serves model wan-tiny-t2v"
    with pytest.raises(wanfarm.OutOfTime, match="0 of 2 videos"):
        job.wait(timeout=0.1)


def test_watching_goes_on_when_coordinator_and_worker_are_killed(own_night: Night) -> None:
    own_night.serve()
    worker = own_night.work("first")
    job = own_night.farm.submit(manifest("killed", 2, steps=60))
    heard: list[wanfarm.Progress] = []
    killed = False
    for news in job.watch():
        heard.append(news)
        if not killed and news.video is not None and news.steps_done >= 3:
            killed = True
            own_night.kill_coordinator()
            worker.kill()
            own_night.serve()
            own_night.work("second")
    assert killed
    assert [(news.video, news.state) for news in heard][-1] == (None, "done")
    last = {news.video: news.state for news in heard}
    assert last == {None: "done", 0: "done", 1: "done"}
    job.wait(timeout=1).raise_for_failed()


def test_who_does_not_answer_is_waited_for_and_no_longer(own_night: Night) -> None:
    farm = wanfarm.Farm(own_night.url, patience=0.5)
    begun = time.monotonic()
    with pytest.raises(wanfarm.NoConnection, match="is it running"):
        farm.status()
    assert 0.4 < time.monotonic() - begun < 10
    with pytest.raises(ValueError, match="write HOST, HOST:PORT"):
        wanfarm.Farm("ftp://studio-1")
    assert wanfarm.Farm("studio-1").url == "http://studio-1:7700"
    assert wanfarm.Farm("https://studio-1").url == "https://studio-1"


def test_what_is_sent_twice_is_queued_once(night: Night) -> None:
    """The answer to a submission is lost on the way."""
    lost: list[str] = []

    class Lossy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.method == "POST" and not lost:
                lost.append(request.headers["idempotency-key"])
                answer.close()
                raise httpx.ReadError("cut", request=request)
            return answer

    farm = wanfarm.Farm(night.url)
    farm._driver._client = httpx.Client(base_url=night.url, transport=Lossy())
    before = len(farm.jobs())
    job = farm.submit(manifest("twice", 1))
    assert len(lost) == 1
    assert len(farm.jobs()) == before + 1
    job.cancel()


def test_a_download_that_breaks_goes_on_where_it_was(night: Night, tmp_path: Path) -> None:
    job = night.farm.submit(manifest("broken", 1, more='formats = ["png", "contact"]'))
    job.wait(timeout=60).raise_for_failed()
    asked: list[str | None] = []

    class Half(httpx.SyncByteStream):
        def __init__(self, whole: httpx.SyncByteStream, request: httpx.Request) -> None:
            self.whole, self.request = whole, request

        def __iter__(self):  # type: ignore[no-untyped-def]
            chunk = next(iter(self.whole))
            yield chunk[: len(chunk) // 2]
            raise httpx.ReadError("cut", request=self.request)

        def close(self) -> None:
            self.whole.close()

    class Cutting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.url.path.endswith(".contact.png"):
                asked.append(request.headers.get("range"))
                if len(asked) == 1:
                    answer.stream = Half(answer.stream, request)  # type: ignore[arg-type]
            return answer

    farm = wanfarm.Farm(night.url)
    farm._driver._client = httpx.Client(base_url=night.url, transport=Cutting())
    path = farm.job(job.id).video(0).save(tmp_path / "sheet.png")
    assert path.read_bytes() == (night.folder / "output" / contact(job)).read_bytes()
    assert asked[0] is None
    assert asked[1] is not None
    assert asked[1] != "bytes=0-"
    assert [child.name for child in tmp_path.iterdir() if child.name.endswith(".part")] == []


def test_a_file_that_is_not_as_it_was_written_is_not_fetched(night: Night, tmp_path: Path) -> None:
    job = night.farm.submit(manifest("damaged", 1, more='formats = ["png", "contact"]'))
    job.wait(timeout=60)
    sheet = night.folder / "output" / contact(job)
    data = bytearray(sheet.read_bytes())
    data[-1] ^= 1
    sheet.write_bytes(data)
    with pytest.raises(wanfarm.FilesLost, match=r"contact\.png") as caught:
        job.download(tmp_path / "renders")
    assert len(caught.value.lost) == 1
    assert len(caught.value.fetched) == 6
    assert not list((tmp_path / "renders").rglob("*contact*"))


def test_workers_are_steered(own_night: Night) -> None:
    own_night.serve()
    own_night.work("other")
    until("the worker is there", lambda: [line.state for line in own_night.farm.workers()] == ["idle"])
    [line] = own_night.farm.workers()
    assert line.models == ("wan-tiny-t2v",)
    assert own_night.farm.assign("other", ["vae"]).assigned == ("vae",)
    assert own_night.farm.assign("other", None).assigned is None
    own_night.farm.drain("other")
    until("it has left", lambda: own_night.farm.workers()[0].state == "left (drained)")


def contact(job: wanfarm.Job) -> str:
    return next(file.path for file in job.video(0).files() if file.path.endswith(".contact.png"))


def picture(side: int) -> bytes:
    """A PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress((b"\0" + bytes(side)) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
