"""Files that mean harm, for every reader: they are refused or compared, and nothing runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet
from safetensors.numpy import save

from forkpoint.artifacts import Context, compare_trees, npy, plaid
from forkpoint.compare import PRESETS
from forkpoint.model import Artifact, Verdict
from tests.artifacts.test_indexes import some, write

CONTEXT = Context(tolerance=PRESETS["torch"])
Sides = tuple[Path, Path]


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    found = tmp_path / "deep" / "a", tmp_path / "deep" / "b"
    for side in found:
        side.mkdir(parents=True)
    return found


def compared(sides: Sides) -> list[Artifact]:
    return [one for one in compare_trees(*sides, CONTEXT) if not one.part]


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _arrow(new: Callable[..., Any], table: pa.Table) -> bytes:
    stream = io.BytesIO()
    with new(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


TABLE = pa.table({"x": [[1.0], [2.0, None]], "t": ["u", None]})
VALID = {
    "x.npy": _npy(np.arange(6.0).reshape(2, 3)),
    "y.npz": _npz(x=np.arange(600.0)),
    "x.npz": _npz(x=np.arange(6.0), t=np.array(["u", "v"])),
    "x.safetensors": save({"x": np.arange(6, dtype=np.float32)}),
    "x.parquet": _parquet(TABLE),
    "x.arrow": _arrow(ipc.new_stream, TABLE),
    "y.arrow": _arrow(ipc.new_file, TABLE),
    "x.run": b"q1 Q0 d1 1 2.0 t\nq1 Q0 d2 2 1.0 t\n",
    "ranking.tsv": b"1\t7\t1\t9.5\n1\t8\t2\t9.25\n",
    "ranking.json": b'{"1": [["a", 2], ["b", 1]]}',
    "x.json": b'{"a": [1, 2.0, NaN], "b": {"c": null}}',
    "x.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "x.csv": b'id,score\na,0.5\n"b,c",1\n',
    "x.txt": "one\ntwo\n\u00e9\n".encode(),
    "x.bin": bytes(range(256)),
    "x.pt": pickle.dumps({"a": 1}),
}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(VALID)), st.data())
def test_no_damage_ends_the_comparison(name: str, data: st.DataObject) -> None:
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    content += data.draw(st.binary(max_size=3))
    kept = bytes(content[: data.draw(st.integers(0, len(content)))])
    with tempfile.TemporaryDirectory() as folder:
        sides = (Path(folder) / "a", Path(folder) / "b")
        for side, text in zip(sides, (VALID[name], kept), strict=True):
            side.mkdir()
            (side / name).write_bytes(text)
            (side / "fine.txt").write_text("fine")
        found = {one.path: one.verdict for one in compared(sides)}
    assert found.keys() == {name, "fine.txt"}
    assert found["fine.txt"] is Verdict.IDENTICAL


def test_a_header_that_breaks_the_tokenizer_is_refused(sides: Sides) -> None:
    """numpy tokenizes a header that is no literal, as Python 2 wrote some."""
    for side, header in zip(sides, (b"{'descr': '<f8'}", b"{'descr': ("), strict=True):
        text = header.ljust(118) + b"\n"
        magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
        (side / "x.npy").write_bytes(magic + text)
    assert [one.verdict for one in compared(sides)] == [Verdict.NOT_COMPARABLE]


def test_damage_inside_a_compressed_member_is_refused(sides: Sides) -> None:
    content = _npz(x=np.arange(6000.0))
    (sides[0] / "x.npz").write_bytes(content)
    for at in range(200, 2200, 100):
        damaged = bytearray(content)
        damaged[at : at + 8] = b"\xff" * 8
        (sides[1] / "x.npz").write_bytes(damaged)
        assert [one.verdict for one in compared(sides)] == [Verdict.NOT_COMPARABLE], at


def objects(mark: Path, number: int) -> np.ndarray:
    array = np.empty(2, dtype=object)
    array[:] = [Trap(mark), number]
    return array


def put_npy(side: Path, mark: Path, number: int) -> None:
    np.save(side / "x.npy", objects(mark, number), allow_pickle=True)


def put_npz(side: Path, mark: Path, number: int) -> None:
    np.savez(side / "x.npz", x=objects(mark, number))


def put_pickle(side: Path, mark: Path, number: int) -> None:
    (side / "x.pkl").write_bytes(pickle.dumps((Trap(mark), number)))


def put_torch(side: Path, mark: Path, number: int) -> None:
    with zipfile.ZipFile(side / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps((Trap(mark), number)))


def put_index(side: Path, mark: Path, number: int) -> None:
    write(some(), side)
    np.save(side / "centroids.npy", objects(mark, number), allow_pickle=True)


@pytest.mark.parametrize("put", [put_npy, put_npz, put_pickle, put_torch, put_index])
def test_code_in_pickles_is_not_run(sides: Sides, tmp_path: Path, put: Callable[..., None]) -> None:
    mark = tmp_path / "ran"
    for number, side in enumerate(sides):
        put(side, mark, number)
    (found,) = compared(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists(), "the test's own trap must work"


def test_members_with_dots_are_written_nowhere(sides: Sides, tmp_path: Path) -> None:
    for number, side in enumerate(sides):
        with zipfile.ZipFile(side / "x.npz", "w") as archive:
            archive.writestr("../../evil.npy", _npy(np.zeros(2) + number))
            archive.writestr("/tmp/evil.npy", _npy(np.zeros(2)))
    before = sorted(tmp_path.rglob("*"))
    parts = {one.part for one in compare_trees(*sides, CONTEXT)}
    assert parts == {"", "../../evil"}
    assert sorted(tmp_path.rglob("*")) == before


def test_names_with_dots_in_a_header_are_only_names(sides: Sides, tmp_path: Path) -> None:
    for number, side in enumerate(sides):
        (side / "x.safetensors").write_bytes(save({"../../evil": np.zeros(2) + number}))
    before = sorted(tmp_path.rglob("*"))
    assert {one.part for one in compare_trees(*sides, CONTEXT)} == {"", "../../evil"}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("length", [1 << 62, (1 << 64) - 1, 200_000_000, 0])
def test_a_header_longer_than_its_file_is_refused(sides: Sides, length: int) -> None:
    for number, side in enumerate(sides):
        (side / "x.safetensors").write_bytes(struct.pack("<Q", length) + b"{}" + bytes([number]))
    (found,) = compared(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE


def test_an_archive_that_unpacks_to_much_more_is_refused(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npy, "MAX_UNPACKED", 1 << 20)
    for number, side in enumerate(sides):
        (side / "x.npz").write_bytes(_npz(x=np.zeros(1 << 18) + number))
    (found,) = compared(sides)
    assert "zip bomb" in found.summary


def test_a_table_of_one_value_many_times_over_is_refused(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kilobyte that reads as 64 MiB; a file may have a hundred times its size at any rate."""
    monkeypatch.setattr(npy, "MAX_UNPACKED", 1 << 25)
    for number, side in enumerate(sides):
        columns = {"x": np.full(1 << 23, number), "t": pa.repeat("same", 1 << 23)}
        parquet.write_table(pa.table(columns), side / "x.parquet")
    assert (sides[0] / "x.parquet").stat().st_size < 1 << 16
    (found,) = compared(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "8,388,608 rows, 75,497,472 bytes or more" in found.summary


LINKED = [
    *("1.codes.npy", "1.residuals.npy", "doclens.1.json", "metadata.json", "centroids.npy"),
    *("ivf.npy", "0.codes.npy"),
]


@pytest.mark.parametrize("name", LINKED)
def test_links_in_an_index_are_not_followed(sides: Sides, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"hands off")
    for number, side in enumerate(sides):
        write(some(), side)
        np.save(side / "bucket_weights.npy", np.zeros(16, dtype=np.float32) + number)
        (side / name).unlink(missing_ok=True)
        (side / name).symlink_to(secret)
    found = {one.path: one for one in compared(sides)}
    assert "leads out of the folder" in found[name].summary
    assert not any("hands off" in one.summary for one in found.values())
    index = found.get(".")
    if index is not None:  # one chunk, without what is linked
        assert index.verdict is Verdict.DIVERGENT


def test_an_index_that_takes_too_much_memory_is_refused(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plaid, "MAX_MEMORY", 1 << 22)
    size = 1 << 22
    for number, side in enumerate(sides):
        write(some(), side)
        np.save(side / "0.codes.npy", np.zeros(size, dtype=np.int8) + 0)
        np.save(side / "0.residuals.npy", np.zeros((size, 4), dtype=np.uint8) + number)
        (side / "doclens.0.json").write_text(json.dumps([size]))
    (found,) = compared(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "memory" in found.summary


@pytest.mark.parametrize("name", ["centroids.npy", "0.codes.npy", "ivf_lengths.npy"])
@pytest.mark.parametrize("content", [VALID["x.npz"], b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_an_index_of_other_files_is_refused(sides: Sides, name: str, content: bytes) -> None:
    for side in sides:
        write(some(), side)
    (sides[1] / name).write_bytes(content)
    (found,) = compared(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE
