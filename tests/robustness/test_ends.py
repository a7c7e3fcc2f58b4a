"""Real commands that are killed, that find no room, and that want one place at the same time."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from forkpoint.host import is_recording
from forkpoint.store import Recording
from tests.conftest import TorchEnv
from tests.support.cli import SOURCES
from tests.support.disks import small_disk

pytestmark = pytest.mark.integration

SCRIPT = """
import sys, time, torch
model = torch.nn.Linear(64, 64)
for _ in range(int(sys.argv[1])):
    model(torch.ones(512, 64))
    time.sleep(float(sys.argv[2]))
"""
_PATIENCE = 60

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, torch_env: TorchEnv) -> Start:
    """Start ``forkpoint record`` with an environment that is there, in a folder of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "temp").mkdir()
    python = torch_env("2.10.0").python

    def start(*arguments: object, out: Path, before: Callable[[], None] | None = None):
        words = ("record", "-q", "--env", f"python={python}", "--out", out, tmp_path / "script.py")
        return subprocess.Popen(
            [sys.executable, "-m", "forkpoint", *map(str, words), "--", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(SOURCES), "TMPDIR": str(tmp_path / "temp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,  # noqa: PLW1509 - no other thread runs here
        )

    return start


def workers_of(folder: Path) -> list[int]:
    """Process numbers of workers whose control folder lies there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"-I" in words and any(word.startswith(os.fsencode(folder)) for word in words):
                found.append(int(path.parent.name))
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_killed_host_leaves_no_worker_and_its_parts_go_with_the_next_run(
    start: Start, tmp_path: Path
) -> None:
    rng = random.Random(0)
    for _ in range(2):
        with start(1000, 0.1, out=tmp_path / "rec") as child:
            wait_for(lambda: workers_of(tmp_path))
            time.sleep(rng.uniform(0, 4))
            child.kill()
        wait_for(lambda: not workers_of(tmp_path))
        assert not (tmp_path / "rec").exists()
    with start(2, 0, out=tmp_path / "rec") as child:
        assert child.wait() == 0, child.stderr and child.stderr.read()
    with Recording.open(tmp_path / "rec") as recording:
        assert recording.complete
        assert len(recording.steps()) == 2
    assert hidden(tmp_path) == []
    assert not list((tmp_path / "temp").iterdir())


def test_a_killed_worker_is_told_and_leaves_a_readable_part(start: Start, tmp_path: Path) -> None:
    with start(1000, 0.05, out=tmp_path / "rec") as child:
        wait_for(lambda: list(tmp_path.glob(".rec.*.partial/recording/tensors/*.safetensors")))
        time.sleep(random.Random(1).uniform(0, 1))
        for pid in workers_of(tmp_path):
            os.kill(pid, signal.SIGKILL)
        _, err = child.communicate(timeout=_PATIENCE)
    assert child.returncode == 2
    assert "SIGKILL" in err
    assert "Traceback" not in err
    assert is_recording(tmp_path / "rec")
    with Recording.open(tmp_path / "rec") as recording:
        assert not recording.complete
    assert hidden(tmp_path) == []


def test_of_two_at_one_place_one_is_made_and_one_refused(start: Start, tmp_path: Path) -> None:
    runs = [start(3, 0.2, out=tmp_path / "rec") for _ in range(2)]
    errors = [run.communicate(timeout=_PATIENCE)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2], errors
    refused = next(text for run, text in zip(runs, errors, strict=True) if run.returncode)
    assert "Another forkpoint writes to" in refused
    with Recording.open(tmp_path / "rec") as recording:
        assert recording.complete
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("kilobytes", [40, 100, 1000])
def test_files_that_may_not_grow_are_said_to_quiet_ones_too(
    start: Start, tmp_path: Path, kilobytes: int
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10))

    with start(20, 0, out=tmp_path / "rec", before=limit) as child:
        _, err = child.communicate(timeout=_PATIENCE)
    assert "Traceback" not in err
    assert "forkpoint itself failed" not in err
    assert child.returncode == 2 or "Warning:" in err
    assert any(word in err for word in ("disk", "large", "room")), err
    if child.returncode == 0:
        with Recording.open(tmp_path / "rec") as recording:
            assert any(one.kind == "tensor not kept" for one in recording.uncovered())


@pytest.mark.parametrize("size", ["256k", "2m"])
def test_a_full_disk_is_said_to_quiet_ones_too(start: Start, tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        with start(60, 0, out=disk / "rec") as child:
            _, err = child.communicate(timeout=_PATIENCE)
        assert "Traceback" not in err
        assert child.returncode == 2 or "Warning:" in err
        assert any(word in err for word in ("disk", "space", "room")), err


def test_a_result_that_does_not_fit_is_an_error_and_no_half_file(tmp_path: Path) -> None:
    for side, number in (("a", 1), ("b", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.json").write_text(json.dumps({"x": number}))
    for words in (("--format", "json"), ("--format", "markdown"), ()):
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "forkpoint", "diff", "a", "b", *words],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(SOURCES)},
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert ended.returncode == 2
        assert b"No space left" in ended.stderr
        assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_closed_and_full_streams_never_change_a_verdict(tmp_path: Path, streams: str) -> None:
    for side in "ab":
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.json").write_text("1")
    for form in ("text", "json"):
        words = f"{sys.executable} -m forkpoint diff a b --format {form} {streams}"
        ended = subprocess.run(
            ["sh", "-c", words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            capture_output=True,
            check=False,
        )
        assert ended.returncode in (0, 2), ended  # identical, or not told; never "divergent"
        assert b"Traceback" not in ended.stderr
