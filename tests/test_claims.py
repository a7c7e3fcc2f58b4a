"""Temporary folders and outputs: of the living they are kept, of the dead they are taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from forkpoint.claims import Claim, scratch_folder
from forkpoint.errors import UsageError
from tests.support.cli import SOURCES

HOLD = """
import sys, time
from pathlib import Path
from forkpoint.claims import Claim, scratch_folder
if sys.argv[1] == "claim":
    held = Claim.on(Path(sys.argv[2]))
else:
    held = scratch_folder()
    folder = held.__enter__()
    (folder / "file").write_text("x")
print("held", flush=True)
time.sleep(100)
"""


def holder(*words: object, temp: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(SOURCES), "TMPDIR": str(temp)}
    argv = [sys.executable, "-c", HOLD, *map(str, words)]
    child = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    return child


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_folders_of_killed_processes_go_and_those_of_the_living_stay(temp: Path) -> None:
    killed, living = holder("scratch", temp=temp), holder("scratch", temp=temp)
    with killed, living:
        assert len(list(temp.iterdir())) == 2
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with scratch_folder() as own:
            assert own.is_dir()
            assert len(list(temp.iterdir())) == 2
        (left,) = temp.iterdir()
        assert (left / "file").read_text() == "x"
        living.kill()


def test_folders_that_are_called_like_ours_stay(temp: Path) -> None:
    (temp / "forkpoint-results").mkdir()
    (temp / "forkpoint-results" / "precious").write_text("x")
    (temp / "forkpoint-link").symlink_to(temp / "forkpoint-results")
    with scratch_folder():
        pass
    assert (temp / "forkpoint-results" / "precious").read_text() == "x"


def test_a_folder_goes_with_its_block_also_where_it_fails(temp: Path) -> None:
    with pytest.raises(ValueError, match="no"), scratch_folder():
        raise ValueError("no")
    assert not list(temp.iterdir())


def test_one_place_has_one_writer(tmp_path: Path, temp: Path) -> None:
    with holder("claim", tmp_path / "out", temp=temp) as other:
        with pytest.raises(UsageError, match="Another forkpoint writes to"):
            Claim.on(tmp_path / "out")
        with Claim.on(tmp_path / "other"):
            pass
        other.kill()
        other.wait()
        with Claim.on(tmp_path / "out"):  # what the dead held is free
            pass
    assert not list(tmp_path.glob(".*"))


def test_what_a_killed_recording_left_goes_and_others_parts_stay(tmp_path: Path) -> None:
    for name in (".out.abc.partial", ".out2.abc.partial", ".[o]ut.abc.partial"):
        (tmp_path / name).mkdir()
    with Claim.on(tmp_path / "out"):
        assert not (tmp_path / ".out.abc.partial").exists()
    with Claim.on(tmp_path / "[o]ut"):
        assert (tmp_path / ".out2.abc.partial").exists()
        assert not (tmp_path / ".[o]ut.abc.partial").exists()


def test_a_claim_ends_with_what_holds_it(tmp_path: Path) -> None:
    claim = Claim.on(tmp_path / "out")
    del claim
    second = Claim.on(tmp_path / "out")
    second.release()
    second.release()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Nothing can be written to"):
        Claim.on(tmp_path / "file" / "out")
