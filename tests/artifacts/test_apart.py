"""Whatever a reader makes of a file, it is one row, and the files beside it are compared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkpoint.artifacts import Context, Found, Refused, apart, compare_trees, tree
from forkpoint.artifacts.apart import Job, answers
from forkpoint.artifacts.comparer import open_regular
from forkpoint.compare import PRESETS
from forkpoint.model import Artifact, Verdict

CONTEXT = Context(tolerance=PRESETS["torch"])
FOUND = Found(verdict=Verdict.DIVERGENT, summary="one\ud800", part="p\udcff", where=("a", "b"))


def deep() -> Any:
    return deep()


def dies() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def exits() -> Any:
    os._exit(7)


def hangs() -> Any:
    time.sleep(600)


def eats() -> Any:
    return np.ones(1 << 40, dtype=np.uint8)


def raises(error: Exception) -> Callable[[], Any]:
    def run() -> Any:
        raise error

    return run


class Odd(Exception):
    """Some error of some library."""


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "refused": (raises(Refused("It is odd.")), "It is odd."),
    "recursion": (deep, "nested too deeply"),
    "memory": (eats, "more memory"),
    "overflow": (raises(OverflowError("int too large")), "OverflowError: int too large"),
    "unicode": (raises(UnicodeError("surrogates")), "UnicodeError"),
    "other": (raises(Odd("\ud800\nsecond line")), "Odd: \ud800."),
    "silent": (raises(AssertionError()), "AssertionError"),
    "system": (raises(OSError(5, "Input/output error")), "cannot be read: Input/output error"),
    "signal": (dies, "SIGKILL"),
    "exit": (exits, "died over it (an exit)"),
    "time": (hangs, "took more than 1 seconds"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_row(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "time":
        monkeypatch.setattr(apart, "SECONDS", 1.0)
    bad, words = BAD[kind]
    jobs = [Job(1, lambda: [FOUND]), Job(1, bad), Job(1, lambda: [FOUND, FOUND])]
    first, second, third = answers(jobs)
    assert (first, third) == ([FOUND], [FOUND, FOUND])
    assert isinstance(second, Refused)
    assert words in second.message


def test_memory_is_limited_by_the_size_of_the_files() -> None:
    def run() -> Iterator[Found]:
        yield Found(verdict=Verdict.DIVERGENT, summary=str(np.ones(1 << 30, np.uint8).size))

    small, large = answers([Job(1, run), Job(1 << 26, run)])
    assert isinstance(small, Refused)
    assert isinstance(large, list)


def test_what_a_comparer_looks_at_is_guarded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        kind = "broken"

        def recognises(self, file: Any) -> bool:
            if file.name == "x.odd":
                raise Odd("what is this")
            return False

        def compare(self, *_: Any) -> Iterator[Found]:
            yield FOUND

    monkeypatch.setattr(tree, "registered", lambda: (Broken(),))
    rows = compared(tmp_path, {"x.odd": (b"1", b"2"), "fine.txt": (b"1", b"1")})
    assert rows["x.odd"].verdict is Verdict.NOT_COMPARABLE
    assert "what is this" in rows["x.odd"].summary
    assert rows["fine.txt"].verdict is Verdict.IDENTICAL


def compared(folder: Path, files: dict[str, tuple[bytes, bytes]]) -> dict[str, Artifact]:
    for number, side in enumerate("ab"):
        (folder / side).mkdir()
        for name, data in files.items():
            (folder / side / name).write_bytes(data[number])
    return {row.path: row for row in compare_trees(folder / "a", folder / "b", CONTEXT)}


def test_a_table_is_read_in_a_fresh_process(tmp_path: Path) -> None:
    """pyarrow's own allocator takes a GiB at its first use, more than a small file may take."""
    code = (
        "import sys, pyarrow as pa; from pyarrow import parquet; import pathlib\n"
        "for side in 'ab':\n"
        "    folder = pathlib.Path(sys.argv[1]) / side\n"
        "    folder.mkdir()\n"
        "    parquet.write_table(pa.table({'x': [1, ord(side)]}), folder / 'x.parquet')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    code = (
        "import sys, forkpoint\n"
        "found = forkpoint.diff_artifacts(f'{sys.argv[1]}/a', f'{sys.argv[1]}/b')\n"
        "print(found.verdict.value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert done.stdout == "divergent\n"


def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    """Between the look at a folder and the opening of a file in it."""
    inside, outside = tmp_path / "a" / "sub", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "x").write_text(folder.name)
    with open_regular(inside / "x") as stream:
        assert stream.read() == b"sub"
    inside.rename(tmp_path / "moved")
    inside.symlink_to(outside)
    with pytest.raises(OSError, match=r"directory|symbolic"):
        open_regular(inside / "x")


def test_a_bomb_of_many_small_parts_is_refused(tmp_path: Path) -> None:
    sides = []
    for number in range(2):
        path = tmp_path / f"{number}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("x.npy", bytes(1 << 16) + bytes([number]))
        sides.append(path.read_bytes())
    rows = compared(tmp_path, {"x.npz": (sides[0], sides[1])})
    assert rows["x.npz"].verdict is Verdict.NOT_COMPARABLE
