from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from forkpoint.artifacts import Context, compare_trees
from forkpoint.artifacts.documents import Changes, parse
from forkpoint.compare import PRESETS
from forkpoint.errors import UsageError
from forkpoint.model import Artifact, Verdict

CONTEXT = Context(tolerance=PRESETS["torch"])


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    return folders


def only(sides: tuple[Path, Path]) -> Artifact:
    (found,) = compare_trees(*sides, CONTEXT)
    return found


def by_part(sides: tuple[Path, Path]) -> dict[str, Artifact]:
    return {found.part: found for found in compare_trees(*sides, CONTEXT)}


def test_equal_files_are_identical_whatever_they_are(sides: tuple[Path, Path]) -> None:
    for side in sides:
        (side / "sub").mkdir()
        (side / "sub" / "x.bin").write_bytes(os.urandom(0) + bytes(range(256)) * 9)
        (side / "p.pkl").write_bytes(pickle.dumps({"a": 1}))
    found = compare_trees(*sides, CONTEXT)
    assert [one.path for one in found] == ["p.pkl", "sub/x.bin"]
    assert {one.verdict for one in found} == {Verdict.IDENTICAL}


def test_a_file_on_one_side_is_divergent(sides: tuple[Path, Path]) -> None:
    (sides[1] / "x.txt").write_text("x")
    assert (only(sides).verdict, only(sides).side) == (Verdict.DIVERGENT, "candidate")


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_get_metrics(sides: tuple[Path, Path], order: str) -> None:
    one = np.asarray(np.arange(12, dtype=">f4").reshape(3, 4), order=order)  # type: ignore[call-overload]
    two = one.copy(order="K")
    two[1, 2] += 0.5
    for side, array in zip(sides, (one, two), strict=True):
        np.save(side / "x.npy", array)
    found = only(sides)
    assert found.verdict is Verdict.DIVERGENT
    assert found.metrics is not None
    assert found.metrics.worst is not None
    assert found.metrics.worst.index == (1, 2)
    assert found.metrics.max_abs == 0.5
    assert found.changed_fraction == pytest.approx(1 / 12)
    assert found.summary.startswith("float32[3, 4]")


def test_orders_of_memory_are_not_mixed_up(sides: tuple[Path, Path]) -> None:
    square = np.arange(9.0).reshape(3, 3)
    np.save(sides[0] / "x.npy", square)
    np.save(sides[1] / "x.npy", np.asfortranarray(square))
    assert only(sides).verdict is Verdict.NOT_COMPARABLE


def test_integer_arrays_say_what_share_changed_and_where(sides: tuple[Path, Path]) -> None:
    codes = np.arange(1000, dtype=np.int32)
    np.save(sides[0] / "codes.npy", codes)
    codes[[7, 500]] += 1
    np.save(sides[1] / "codes.npy", codes)
    found = only(sides)
    assert found.verdict is Verdict.DIVERGENT
    assert found.changed_fraction == pytest.approx(0.002)
    assert found.where == ("[7]: 7 and 8",)


def test_compression_of_an_archive_is_no_difference(sides: tuple[Path, Path]) -> None:
    arrays = {"x": np.ones(100), "names": np.array(["a", "bb"])}
    np.savez(sides[0] / "x.npz", **arrays)
    np.savez_compressed(sides[1] / "x.npz", **arrays)
    assert only(sides).verdict is Verdict.IDENTICAL


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 12])
def test_elements_of_no_number_type_are_compared_by_their_bytes(
    sides: tuple[Path, Path], size: int
) -> None:
    one = np.arange(50 * size, dtype=np.uint8).reshape(50, size)
    two = one.copy()
    two[[3, 40], [0, -1]] ^= 128
    for side, array in zip(sides, (one, two), strict=True):
        np.save(side / "x.npy", array.reshape(-1).view(f"V{size}"))
    found = only(sides)
    assert (found.elements, found.changed_fraction) == (50, 2 / 50)
    assert found.where == ("element 3", "element 40")


def test_text_arrays_are_compared_by_element(sides: tuple[Path, Path]) -> None:
    np.save(sides[0] / "x.npy", np.array(["a", "b"]))
    np.save(sides[1] / "x.npy", np.array(["a", "c"]))
    assert only(sides).where == ("element 1",)


def test_safetensors_are_paired_by_name(sides: tuple[Path, Path]) -> None:
    half = np.ones((2, 3), dtype=ml_dtypes.bfloat16)
    one = {"same": np.zeros(3), "x": half, "gone": np.zeros(1, dtype=np.int8)}
    save_file(one, sides[0] / "m.safetensors")
    save_file({"same": np.zeros(3), "x": -half}, sides[1] / "m.safetensors")
    found = by_part(sides)
    assert found.keys() == {"", "x", "gone"}
    assert found[""].verdict is Verdict.DIVERGENT
    assert found["gone"].side == "baseline"
    assert found["x"].metrics is not None
    assert found["x"].metrics.max_abs == 2.0


def test_documents_are_compared_by_value(sides: tuple[Path, Path]) -> None:
    (sides[0] / "x.json").write_text('{"a": [1, 2.0, NaN], "b": "x"}')
    (sides[1] / "x.json").write_text('{"b": "x",\n "a": [1, 2.0000001, NaN]}')
    found = only(sides)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert found.where == (".a[1]: 2.0 and 2.0000001",)
    (sides[1] / "x.json").write_text('{"b": "x", "a": [1, 2.0, NaN]}')
    assert only(sides).verdict is Verdict.IDENTICAL


def test_lines_of_json_name_the_line(sides: tuple[Path, Path]) -> None:
    (sides[0] / "x.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (sides[1] / "x.jsonl").write_text('{"a": 1}\n{"a": 3}\n{"a": 4}\n')
    assert only(sides).where == ("line 2: .a: 2 and 3", "line 3: only in one file")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(values)
def test_a_document_equals_itself(value: object) -> None:
    changes = Changes(CONTEXT)
    text = json.dumps(value).encode()
    changes.walk("", parse(text), parse(text))
    assert changes.found().verdict is Verdict.IDENTICAL


@given(st.binary(min_size=1, max_size=300), st.data())
def test_one_byte_that_changes_is_found(content: bytes, data: st.DataObject) -> None:
    import tempfile

    at = data.draw(st.integers(0, len(content) - 1))
    other = bytearray(content)
    other[at] ^= 1 + data.draw(st.integers(0, 254))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, written in (("a.x", content), ("b.x", bytes(other))):
            paths.append(Path(folder) / name)
            paths[-1].write_bytes(written)
        found = compare_trees(paths[0], paths[1], CONTEXT)
    assert {one.verdict for one in found} & {Verdict.DIVERGENT, Verdict.NOT_COMPARABLE}


# files that mean harm


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["x.pkl", "x.pt", "x.npy", "x.npz", "archive.pt"])
def test_the_code_of_a_pickle_does_not_run(
    sides: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    ran = tmp_path / "ran"
    for number, side in enumerate(sides):
        objects = np.array([Bomb(ran), number], dtype=object)
        if name.endswith(".npy"):
            np.save(side / name, objects, allow_pickle=True)
        elif name.endswith(".npz"):
            np.savez(side / name, x=objects)
        elif name == "archive.pt":
            with zipfile.ZipFile(side / name, "w") as archive:
                archive.writestr("archive/data.pkl", pickle.dumps((Bomb(ran), number)))
        else:
            (side / name).write_bytes(pickle.dumps((Bomb(ran), number)))
    found = only(sides)
    assert not ran.exists()
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "run code" in found.summary
    pickle.loads(pickle.dumps(Bomb(ran)))
    assert ran.exists(), "the test's own bomb must work"


def test_a_zip_bomb_is_not_unpacked(sides: tuple[Path, Path]) -> None:
    for number, side in enumerate(sides):
        header = io.BytesIO()
        np.save(header, np.zeros(1, dtype=np.uint8) + number)
        with zipfile.ZipFile(side / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", header.getvalue())
        data = bytearray((side / "x.npz").read_bytes())
        at = data.rindex(b"PK\x01\x02") + 24
        data[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
        second = data[data.rindex(b"PK\x01\x02") : data.rindex(b"PK\x05\x06")]
        end = bytearray(data[data.rindex(b"PK\x05\x06") :])
        start = data.rindex(b"PK\x01\x02")
        end[8:12] = struct.pack("<HH", 2, 2)
        end[12:16] = struct.pack("<I", 2 * len(second))
        (side / "x.npz").write_bytes(bytes(data[:start]) + bytes(second) * 2 + bytes(end))
    found = only(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "zip bomb" in found.summary


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]},
        {"dtype": "F32", "shape": [4], "data_offsets": [-8, 8]},
        {"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 16]},
        {"dtype": "EVIL", "shape": [4], "data_offsets": [0, 16]},
    ],
)
def test_a_header_that_points_outside_is_refused(
    sides: tuple[Path, Path], entry: dict[str, object]
) -> None:
    text = json.dumps({"x": entry}).encode()
    for number, side in enumerate(sides):
        data = struct.pack("<Q", len(text)) + text + bytes(15) + bytes([number])
        (side / "x.safetensors").write_bytes(data)
    assert only(sides).verdict is Verdict.NOT_COMPARABLE


def test_a_huge_claim_of_an_array_is_refused(sides: tuple[Path, Path]) -> None:
    for number, side in enumerate(sides):
        header = io.BytesIO()
        facts = {"descr": "<f8", "fortran_order": False, "shape": (1 << 60,)}
        np.lib.format.write_array_header_1_0(header, facts)
        (side / "x.npy").write_bytes(header.getvalue() + bytes([number] * 8))
    assert "claims" in only(sides).summary


def test_deep_documents_are_refused(sides: tuple[Path, Path]) -> None:
    for number, side in enumerate(sides):
        (side / "x.json").write_text("[" * 200_000 + str(number) + "]" * 200_000)
    assert "nested too deeply" in only(sides).summary


def test_links_and_pipes_are_not_read_and_stop_nothing(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    for side in sides:
        (side / "out").symlink_to("../secret")
        (side / "dots").symlink_to(Path("..") / side.name / ".." / "secret")
        (side / "loop").symlink_to("loop")
        (side / "up").symlink_to("..", target_is_directory=True)
        (side / "inside").symlink_to("ok.txt")
        os.mkfifo(side / "pipe")
        (side / "ok.txt").write_text("fine")
    found = {one.path: one.verdict for one in compare_trees(*sides, CONTEXT)}
    fine = {name for name, verdict in found.items() if verdict is Verdict.IDENTICAL}
    assert fine == {"inside", "ok.txt"}
    assert found.keys() - fine == {"out", "dots", "loop", "up", "pipe"}


def test_a_file_and_a_folder_cannot_be_paired(sides: tuple[Path, Path]) -> None:
    (sides[0] / "x").write_text("x")
    with pytest.raises(UsageError, match="not a folder"):
        compare_trees(sides[0] / "x", sides[1], CONTEXT)
