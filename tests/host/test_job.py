"""What a worker is asked, and how its answer is read: no torch needed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.errors import UsageError, WorkerFailed
from forkpoint.host import Job, LastEvent, Workload, half_open
from forkpoint.host._job import Control, caller_path
from forkpoint.host._result import read_answer, read_last_event
from forkpoint.host._traceback import trim


def test_the_job_is_written_as_the_protocol_says(tmp_path: Path) -> None:
    script = tmp_path / "encode.py"
    script.touch()
    job = Job(
        workload=Workload(script=script, argv=("--batch-size", "32")),
        recording=Path("rec"),
        steps=((0, 10),),
    )
    control = Control(tmp_path / "control")
    control.prepare(job.document("old", {"threads": "1"}, {"MODE": "b", "LC_ALL": "C"}))
    written = json.loads((tmp_path / "control" / "job.json").read_text())
    assert written["protocol"] == 1
    assert written["script"] == str(script)
    assert written["argv"] == ["--batch-size", "32"]
    assert written["recording"] == str(Path.cwd() / "rec")
    assert written["settings"] == {"threads": "1"}
    assert written["variables"] == ["LC_ALL", "MODE"]  # what they are set to, the process knows
    assert written["steps"] == [[0, 10]]


def test_the_foreign_interpreter_sees_the_worker_and_nothing_else(tmp_path: Path) -> None:
    control = Control(tmp_path)
    control.prepare(Job(kind="fingerprint").document("old", {}))
    assert [path.name for path in control.inject.iterdir()] == ["forkpoint_worker"]
    assert not (control.inject / "forkpoint_worker").is_symlink()
    control.tidy()
    assert not control.inject.exists()


def test_an_old_answer_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    control = Control(tmp_path)
    control.result.write_text("{}")
    control.prepare({})
    assert read_answer(control.result) is None


@pytest.mark.parametrize(
    ("texts", "ranges"),
    [([], None), (["0:10"], ((0, 10),)), (["7"], ((7, 8),)), (["5:"], ((5, 2**62),))],
)
def test_step_ranges(texts: list[str], ranges: object) -> None:
    assert half_open(texts) == ranges


@pytest.mark.parametrize("text", ["", "x", "3:1", "-1", "1:2:3", "-5:2"])
def test_a_bad_step_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        half_open([text])


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_step_ranges_mean_what_python_means(start: int, length: int) -> None:
    assert half_open([f"{start}:{start + length}"]) == ((start, start + length),)


def test_a_workload_is_one_script_or_one_module(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one script or one module"):
        Workload()
    with pytest.raises(UsageError, match="no script at"):
        Workload(script=tmp_path / "missing.py")
    assert Workload(module="a.b").label == "b"


def test_the_callers_path_is_made_absolute() -> None:
    assert caller_path(os.pathsep.join(["lib", "", "/opt"])) == [str(Path.cwd() / "lib"), "/opt"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"protocol": 1}', '{"protocol": 1, "status": 3}'])
def test_a_damaged_answer_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(WorkerFailed, match=r"result\.json"):
        read_answer(tmp_path / "result.json")


def test_an_answer_of_another_protocol_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"protocol": 9, "status": "completed"}')
    with pytest.raises(WorkerFailed, match="protocol 9, not 1"):
        read_answer(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"3\tencoder\taten.mm.default\0\0junk", LastEvent(3, "encoder", "aten.mm.default")),
        (b"2\tLinear\t\0\0", LastEvent(2, "Linear", "")),
        (b"-1\t\taten.mm.default\0", LastEvent(-1, "", "aten.mm.default")),
        (b"\0\0\0", None),
        (b"half", None),
    ],
)
def test_the_last_event_is_read_from_a_mapped_file(
    tmp_path: Path, data: bytes, event: LastEvent | None
) -> None:
    (tmp_path / "last_event").write_bytes(data)
    assert read_last_event(tmp_path / "last_event") == event


@given(st.binary(max_size=300))
def test_any_bytes_are_a_last_event_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "last_event"
    path.write_bytes(data)
    event = read_last_event(path)
    assert event is None or str(event)


def test_frames_of_the_worker_are_cut_from_a_traceback() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/tmp/c/inject/forkpoint_worker/main.py", line 9, in go\n'
        "    self._script()\n"
        '  File "<frozen runpy>", line 291, in run_path\n'
        '  File "/home/me/encode.py", line 3, in <module>\n'
        "    boom()\n"
        "  [Previous line repeated 2 more times]\n"
        "ValueError: boom"
    )
    assert trim(text) == (
        "Traceback (most recent call last):\n"
        '  File "/home/me/encode.py", line 3, in <module>\n'
        "    boom()\n"
        "  [Previous line repeated 2 more times]\n"
        "ValueError: boom"
    )


@given(st.text())
def test_text_without_frames_is_left_alone(text: str) -> None:
    if 'File "' not in text:
        assert trim(text) == "\n".join(text.splitlines())
