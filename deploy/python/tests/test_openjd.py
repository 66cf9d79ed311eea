"""A manifest as a job template, rendered by the reference implementation of Open Job Description."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from farms import MODELS, PROGRAM, manifest


def openjd(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openjd", *words]
    # Sessions in a folder of the test's own.
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def exported(folder: Path, text: str, *words: str) -> Path:
    (folder / "night.toml").write_text(text)
    command = [PROGRAM, "export", "openjd", "night.toml", "--output", "night.json", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "night.json"


@pytest.mark.parametrize(("words", "tasks"), [([], 3), (["--videos-per-task", "2"], 2)])
def test_every_task_renders_its_videos(tmp_path: Path, words: list[str], tasks: int) -> None:
    text = manifest("night {{a}}", 2, video='[[video]]\nprompt = "a blue square {{moving}} right"\nseed = 5').replace(
        "[defaults]", 'output = "{index:02}-{seed}"\n[defaults]'
    )
    template = exported(tmp_path, text, *words)
    checked = openjd("check", str(template), folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    parameters = [f"Models={MODELS}", f"Output={tmp_path / 'renders'}", f"Coordinator={PROGRAM}"]
    words = [word for parameter in parameters for word in ("-p", parameter)]
    ran = openjd("run", str(template), "--step", "Render", *words, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"Chunks run: {tasks}\n" in ran.stdout, "a chunk is a task here"
    names = sorted(path.name for path in (tmp_path / "renders").glob("*.mp4"))
    assert names == ["00-0.mp4", "01-1.mp4", "02-5.mp4"]
    spec = json.loads((tmp_path / "renders" / "02-5.json").read_text())["spec"]
    assert spec["prompt"] == "a blue square {moving} right"
    before = {name: (tmp_path / "renders" / name).stat().st_mtime_ns for name in names}
    again = openjd("run", str(template), "--step", "Render", *words, "--tasks", '[{"Video": 0}]', folder=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert before == {name: (tmp_path / "renders" / name).stat().st_mtime_ns for name in names}, "what is done stays"
