"""``bisect`` and ``history`` given what cannot be: one clear message, what to do, status 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from forkpoint.environments import has_nvidia_gpu
from tests.bisect.conftest import BITS, make_wheel
from tests.support.cli import Ended, forkpoint_cli
from tests.support.disks import small_disk

CAPSULE = {
    "format": "forkpoint.capsule/1",
    "call": {"op": "aten.relu.default", "tensors": [{"dtype": "float32", "shape": [2]}]},
    "outputs": [{"slot": 0, "digest": "0" * 16}],
}

COMMANDS = {
    "no script": "bisect --good tinyop==1.0 --bad tinyop==1.4",
    "missing script": "history --releases tinyop gone.py",
    "swapped": "bisect --good tinyop==1.4 --bad tinyop==1.0 s.py",
    "swapped, every one": "bisect --good tinyop==1.4 --bad tinyop==1.0 --all s.py",
    "a page of a bisection": "bisect --good tinyop==1.0 --bad tinyop==1.4 --html p.html s.py",
    "equal": "bisect --good tinyop==1.4 --bad tinyop==1.4.0 s.py",
    "two packages": "bisect --good tinyop==1.0 --bad torch==2.0 s.py",
    "one package in two spellings": "bisect --package TinyOp --good tinyop==1.4 --bad 1.0 s.py",
    "another package": "bisect --package torch --good tinyop==1.0 --bad 2.1 s.py",
    "no single release": "bisect --good tinyop>=1.0 --bad tinyop==1.4 s.py",
    "no release": "bisect --package tinyop --good 1.0 --bad newest s.py",
    "not on the index": "bisect --good tinyop==1.0 --bad tinyop==7.0 s.py",
    "unknown package": "history --releases none-such>=1 s.py",
    "empty range": "history --releases tinyop>=7 s.py",
    "no requirement": "history --releases >=7 s.py",
    "bad constraint": "history --releases tinyop --constraint numpy<2 s.py",
    "unknown axis": "history --releases tinyop --axis thread=1,2 s.py",
    "axis without values": "history --releases tinyop --axis threads s.py",
    "axis with an empty value": "history --releases tinyop --axis threads=1, s.py",
    "axis with a wrong value": "history --releases tinyop --axis tf32=on,maybe s.py",
    "axis twice": "history --releases tinyop --axis threads=1 --axis threads=2 s.py",
    "axis of no Python": "history --releases tinyop --axis python=snake s.py",
    "ops without the catalogue": "history --releases tinyop --op norm s.py",
    "the catalogue and a script": "history --releases torch --catalogue s.py",
    "the catalogue of another package": "history --releases tinyop --catalogue",
    "the catalogue of a package with a like name": "history --releases torch-geometric --catalogue",
    "no such op": "history --releases torch --catalogue --op nonsense",
    "diagnosis of a capsule": "history --releases tinyop --diagnose capsule",
    "folder of capsules": "history --releases tinyop .",
    "folder without capsules": "history --releases tinyop wheels",
    "capsule that cannot be": "history --releases tinyop capsule broken",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.py").write_text("import torch\n")
    for name, text in (("capsule", json.dumps(CAPSULE)), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "capsule.json").write_text(text)
    (tmp_path / "wheels").mkdir()
    for version in BITS:
        make_wheel(tmp_path / "wheels", version, "")
    return tmp_path


def run(folder: Path, *words: str, **variables: str) -> Ended:
    here = {
        "FORKPOINT_CACHE_DIR": str(folder / "cache"),
        "UV_FIND_LINKS": str(folder / "wheels"),
        "UV_NO_INDEX": "1",
        **variables,
    }
    return forkpoint_cli(*words, cwd=folder, **here)


def told(ended: Ended, folder: Path) -> str:
    """The message, once it is sure that it is one; places of this run made constant."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert "Error: " in ended.err
    return ended.err.replace(str(folder), "TMP")


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_words(name: str, folder: Path, snapshot: SnapshotAssertion) -> None:
    assert told(run(folder, *COMMANDS[name].split()), folder) == snapshot


def test_an_index_out_of_reach(folder: Path, snapshot: SnapshotAssertion) -> None:
    words = ["bisect", "--good", "tinyop==1.0", "--bad", "tinyop==1.4", "s.py"]
    nowhere = "http://name:secret@127.0.0.1:9/simple"
    ended = run(folder, *words, UV_NO_INDEX="", UV_DEFAULT_INDEX=nowhere)
    assert "secret" not in ended.err
    assert told(ended, folder) == snapshot


@pytest.mark.skipif(has_nvidia_gpu(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(folder: Path, snapshot: SnapshotAssertion) -> None:
    words = ["history", "--releases", "tinyop", "--axis", "device=cpu,cuda", "s.py"]
    assert told(run(folder, *words), folder) == snapshot


def test_a_python_that_is_not_there(folder: Path) -> None:
    message = told(
        run(folder, *["history", "--releases", "tinyop", "--python", "3.99", "s.py"]), folder
    )
    assert "could not be run in any of the releases" in message
    assert "Python 3.99 was not found on this machine" in message


def test_a_full_disk(folder: Path) -> None:
    (folder / "wheels" / "tinyop-1.0-py3-none-any.whl").unlink()
    make_wheel(folder / "wheels", "1.0", "#" * 3_000_000)
    with small_disk(folder / "disk", "1m") as disk:
        words = ["history", "--releases", "tinyop==1.0", "s.py"]
        message = told(run(folder, *words, FORKPOINT_CACHE_DIR=str(disk)), folder)
    assert "could not be built: the disk is full" in message
    assert "forkpoint env prune" in message
    assert "0 of 1 environments are measured, and kept" in " ".join(message.split())
