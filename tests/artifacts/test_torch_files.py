"""Files of torch.save: never opened here; what a worker hands back is checked."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from forkpoint.artifacts import Context, Refused, Unpacker, compare_trees, tree
from forkpoint.artifacts.unpacking import Found, _contents
from forkpoint.compare import PRESETS
from forkpoint.environments import Environment, parse_spec
from forkpoint.host import Unpacked
from forkpoint.model import Artifact, Verdict

CONTEXT = Context(tolerance=PRESETS["torch"])
READ = Unpacked(id="0", status="read")


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with a pickle each, which leaves a mark when it is unpickled."""
    found = tmp_path / "a", tmp_path / "b"
    for number, folder in enumerate(found):
        folder.mkdir()
        (folder / "x.pt").write_bytes(pickle.dumps((Trap(tmp_path / "ran"), number)))
    return found


class Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def write(folder: Path, tensors: dict[str, np.ndarray], value: Any, **more: Any) -> None:
    """What a worker writes for one file."""
    folder.mkdir()
    layouts = {n: {"dtype": str(t.dtype), "shape": list(t.shape)} for n, t in tensors.items()}
    save_file(tensors, folder / "tensors.safetensors")
    document = {"tensors": layouts, "value": value, "skipped": {}, **more}
    (folder / "content.json").write_text(json.dumps(document))


def unpacked(tmp_path: Path, *contents: tuple[dict[str, np.ndarray], Any, dict[str, str]]) -> Any:
    """An `Unpack` that has these contents for the files it is asked for, in their order."""

    @contextmanager
    def unpack(paths: Sequence[Path]) -> Iterator[Found]:
        found: dict[Path, Any] = {}
        for number, (path, (tensors, value, skipped)) in enumerate(
            zip(paths, contents, strict=True)
        ):
            folder = tmp_path / f"unpacked{number}"
            write(folder, tensors, value, skipped=skipped)
            found[path] = _contents(READ, folder)
        yield found

    return unpack


def by_part(sides: tuple[Path, Path], unpack: Any) -> dict[str, Artifact]:
    return {one.part: one for one in compare_trees(*sides, CONTEXT, unpack=unpack)}


def test_without_an_environment_nothing_is_opened(sides: tuple[Path, Path], tmp_path: Path) -> None:
    (found,) = compare_trees(*sides, CONTEXT)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.summary.startswith("Not compared")
    assert "--env" in found.summary
    assert not (tmp_path / "ran").exists()


def test_equal_files_need_no_environment(sides: tuple[Path, Path]) -> None:
    (sides[1] / "x.pt").write_bytes((sides[0] / "x.pt").read_bytes())
    (found,) = compare_trees(*sides, CONTEXT, unpack=None)
    assert found.verdict is Verdict.IDENTICAL


def test_tensors_and_values_are_compared(sides: tuple[Path, Path], tmp_path: Path) -> None:
    def content(x: float, step: int) -> tuple[dict[str, np.ndarray], Any, dict[str, str]]:
        value = {"dict": {"w": {"tensor": "w"}, "step": step, "s": {"skipped": "Foo"}}}
        return {"w": np.array([x, 1.0])}, value, {"s": "a Foo"}

    found = by_part(sides, unpacked(tmp_path, content(0.0, 3), content(0.5, 4)))
    assert found.keys() == {"", "w", "s", "values outside of tensors"}
    assert found["w"].metrics is not None
    assert found["w"].metrics.max_abs == 0.5
    assert found["s"].verdict is Verdict.NOT_COMPARABLE
    assert found["values outside of tensors"].where == (".step: 3 and 4",)
    assert found[""].verdict is Verdict.DIVERGENT


def test_a_tensor_on_one_side_is_told_once(sides: tuple[Path, Path], tmp_path: Path) -> None:
    value = {"dict": {"w": {"tensor": "w"}}}
    empty: tuple[dict[str, np.ndarray], Any, dict[str, str]] = ({}, {"dict": {}}, {})
    found = by_part(sides, unpacked(tmp_path, ({"w": np.zeros(2)}, value, {}), empty))
    assert found.keys() == {"", "w"}
    assert found["w"].side == "baseline"


def test_a_dictionary_that_looks_like_a_tensor_is_none(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    contents = [({}, {"dict": {"x": {"dict": {"tensor": n}}}}, {}) for n in "ab"]
    found = by_part(sides, unpacked(tmp_path, *contents))
    assert found[""].where == (".x.tensor: 'a' and 'b'",)


@pytest.mark.parametrize(
    "document",
    [
        {"tensors": {"w": {"dtype": "float64", "shape": [2]}}},
        {"tensors": {"w": {"dtype": "float64", "shape": [2]}}, "value": {}, "skipped": {}},
        {"tensors": {}, "value": None, "skipped": {}},
        {"tensors": {"w": {"dtype": "float64", "shape": [3]}}, "value": 1, "skipped": {}},
        {"tensors": {"w": {"dtype": "float64", "shape": [-1, -2]}}, "value": 1, "skipped": {}},
        {"tensors": {"w": {"dtype": "float32", "shape": [1 << 70]}}, "value": 1, "skipped": {}},
        [1],
    ],
)
def test_what_a_worker_hands_back_is_checked(tmp_path: Path, document: Any) -> None:
    write(tmp_path / "out", {"w": np.zeros(2)}, 1)
    (tmp_path / "out" / "content.json").write_text(json.dumps(document))
    found = _contents(READ, tmp_path / "out")
    assert isinstance(found, Refused)
    assert "makes no sense" in found.message


def test_a_worker_that_left_nothing_is_no_content(tmp_path: Path) -> None:
    assert isinstance(_contents(READ, tmp_path), Refused)


def test_files_are_unpacked_a_few_at_a_time(
    sides: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, side in enumerate(sides):
        for name in ("y.pt", "z.pt"):
            (side / name).write_bytes(pickle.dumps(number))
    seen = []

    @contextmanager
    def unpack(paths: Sequence[Path]) -> Iterator[Found]:
        seen.append([path.name for path in paths])
        yield dict.fromkeys(paths, Refused("no"))

    monkeypatch.setattr(tree, "BATCH", 20)
    found = compare_trees(*sides, CONTEXT, unpack=unpack)
    assert seen == [["x.pt", "x.pt"], ["y.pt", "y.pt", "z.pt", "z.pt"]]
    assert [one.path for one in found] == ["x.pt", "y.pt", "z.pt"]


def test_an_environment_that_does_not_start_spoils_only_these_files(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    for number, side in enumerate(sides):
        (side / "t.txt").write_text(str(number))
    gone = tmp_path / "gone" / "python"
    spec = parse_spec("gone=torch==2.10.0")
    environment = Environment(name="gone", spec=spec, python=gone, key="", lock=())
    found = {
        one.path: one for one in compare_trees(*sides, CONTEXT, unpack=Unpacker([environment]))
    }
    assert "cannot be started" in found["x.pt"].summary
    assert found["t.txt"].verdict is Verdict.DIVERGENT


def test_a_torch_archive_is_known_by_its_members(sides: tuple[Path, Path]) -> None:
    for number, side in enumerate(sides):
        with zipfile.ZipFile(side / "x.pt", "w") as archive:
            archive.writestr("x/data.pkl", b"\x80\x02K" + struct.pack("B", number) + b".")
    (found,) = compare_trees(*sides, CONTEXT)
    assert (found.kind, found.verdict) == ("torch", Verdict.NOT_COMPARABLE)
