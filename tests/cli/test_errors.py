"""Bad input: one clear message on standard error, nothing on standard output, status 2."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.recordings import write_recording
from tests.support.cli import Ended, forkpoint_cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script and a good recording, and nothing to configure."""
    (tmp_path / "encode.py").write_text("import torch\n")
    write_recording(tmp_path / "rec-a")
    return tmp_path


def told(ended: Ended, folder: Path) -> str:
    """The message, once it is sure that it is one; places of this run made constant."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.err.startswith("Error: ")
    return ended.err.replace(str(folder), "TMP")


COMMANDS = {
    "no environment": "compare encode.py",
    "one environment": "compare --env a=torch==2.10.0 encode.py",
    "same name": "compare --env a=torch==2.9.1 --env a=torch==2.10.0 encode.py",
    "no script": "compare --env a=torch==2.9.1 --env b=torch==2.10.0",
    "missing script": "compare --env a=torch==2.9.1 --env b=torch==2.10.0 gone.py",
    "unknown setting": "compare --env a=thread=1 --env b=torch==2.10.0 encode.py",
    "missing interpreter": "record --env python=/gone/python --out r encode.py",
    "script option without --": "record --env a=torch==2.10.0 --out r encode.py --batch-size 32",
    "no out": "record --env a=torch==2.10.0 encode.py",
    "out in the way": "record --env a=torch==2.10.0 --out encode.py --force encode.py",
    "older recording": "record --env a=torch==2.10.0 --out rec-a encode.py",
    "bad steps": "record --env a=torch==2.10.0 --out r --steps x encode.py",
    "bad time": "record --env a=torch==2.10.0 --out r --timeout -1 encode.py",
    "bad size": "record --env a=torch==2.10.0 --out r --max-storage lots encode.py",
    "unknown tolerance": "diff rec-a rec-a --tolerance loose",
    "bad atol": "diff rec-a rec-a --atol x",
    "missing recording": "diff rec-a gone",
    "not a recording": "diff rec-a .",
    "a file": "diff rec-a encode.py",
    "no result": "report .",
    "not a result": "report encode.py",
    "three paths": "report rec-a rec-a rec-a",
    "unknown environment": "env show nosuchkey",
    "unknown verb": "explain",
    "unknown option": "diff --fast rec-a rec-a",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_words(name: str, folder: Path, snapshot: SnapshotAssertion) -> None:
    ended = forkpoint_cli(
        *COMMANDS[name].split(), cwd=folder, FORKPOINT_CACHE_DIR=str(folder / "cache")
    )
    assert told(ended, folder) == snapshot
    assert (folder / "encode.py").read_text() == "import torch\n"


def cut_index(recording: Path) -> None:
    (recording / "index.sqlite").write_bytes((recording / "index.sqlite").read_bytes()[:1000])


def foreign_manifest(recording: Path) -> None:
    (recording / "manifest.json").write_text('{"format": "somebody.else/3"}')


def newer_manifest(recording: Path) -> None:
    (recording / "manifest.json").write_text('{"format": "forkpoint.recording/9"}')


def no_json(recording: Path) -> None:
    (recording / "manifest.json").write_bytes(b"\x80\x04pickle?")


def other_tables(recording: Path) -> None:
    with sqlite3.connect(recording / "index.sqlite") as database:
        database.execute("CREATE TRIGGER evil AFTER INSERT ON event BEGIN SELECT 1; END")
    database.close()


def linked_index(recording: Path) -> None:
    shutil.copy(recording / "index.sqlite", recording.parent / "elsewhere")
    (recording / "index.sqlite").unlink()
    (recording / "index.sqlite").symlink_to(recording.parent / "elsewhere")


@pytest.mark.parametrize(
    "damage", [cut_index, foreign_manifest, newer_manifest, no_json, other_tables, linked_index]
)
def test_bad_recordings(damage, folder: Path) -> None:
    write_recording(folder / "rec-b")
    damage(folder / "rec-b")
    message = told(forkpoint_cli("diff", "rec-a", "rec-b", cwd=folder), folder)
    assert "rec-b" in message


def test_force_does_not_delete_what_is_not_ours(folder: Path) -> None:
    (folder / "rec-a" / "thesis.txt").write_text("years of work")
    words = "record --env a=torch==2.10.0 --out rec-a --force encode.py"
    message = told(forkpoint_cli(*words.split(), cwd=folder), folder)
    assert "never deletes" in message
    assert (folder / "rec-a" / "thesis.txt").exists()


def test_a_traceback_is_there_for_those_who_ask(folder: Path) -> None:
    ended = forkpoint_cli("diff", "rec-a", "gone", cwd=folder, FORKPOINT_DEBUG="1")
    assert ended.status != 0
    assert "Traceback" in ended.err
    assert "RecordingError" in ended.err
