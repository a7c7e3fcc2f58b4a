"""Parquet, Arrow and CSV: what is a difference, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

from forkpoint.artifacts import Context, compare_trees, tables
from forkpoint.compare import PRESETS
from forkpoint.model import Artifact, Verdict
from tests.support.cli import SOURCES

CONTEXT = Context(tolerance=PRESETS["torch"])
Sides = tuple[Path, Path]


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    return folders


def stream(table: pa.Table, path: Path) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def file(table: pa.Table, path: Path) -> None:
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)


WRITERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "x.parquet": parquet.write_table,
    "x.arrow": stream,
    "y.arrow": file,
    "x.feather": lambda table, path: feather.write_feather(table, path, compression="lz4"),
}


def by_part(sides: Sides, one: pa.Table, two: pa.Table, name: str) -> dict[str, Artifact]:
    for side, table in zip(sides, (one, two), strict=True):
        WRITERS[name](table, side / name)
    return {found.part: found for found in compare_trees(*sides, CONTEXT)}


def clear(sides: Sides) -> None:
    for old in (*sides[0].iterdir(), *sides[1].iterdir()):
        old.unlink()


def only(sides: Sides) -> Artifact:
    (found,) = compare_trees(*sides, CONTEXT)
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_numbers_get_metrics_and_all_else_is_equal_or_not(sides: Sides, name: str) -> None:
    columns = {
        "id": ["a", "b", None, "d"],
        "score": pa.array([1.0, 2.0, 3.0, 4.0], pa.float32()),
        "emb": pa.array([[1.0, 2.0], [3.0], [], [4.0]]),
        "fixed": pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.int8(), 2)),
        "s": [{"x": 1, "y": "u"}, {"x": 2, "y": "v"}, {"x": 3, "y": "w"}, {"x": 4, "y": "z"}],
        "same": [True, False, None, True],
    }
    other = {
        **columns,
        "id": ["a", "b", "c", "x"],
        "score": pa.array([1.0, 2.5, 3.0, 4.0], pa.float32()),
        "emb": pa.array([[1.0, 2.0], [3.0 + 1e-9], [], [4.0]]),
        "fixed": pa.array([[1, 2], [3, 4], [5, 6], [7, 9]], pa.list_(pa.int8(), 2)),
        "s": [{"x": 1, "y": "u"}, {"x": 2, "y": "v"}, {"x": 9, "y": "w"}, {"x": 4, "y": "!"}],
    }
    found = by_part(sides, pa.table(columns), pa.table(other), name)
    assert found.keys() == {"", "id", "score", "emb[]", "fixed[]", "s.x", "s.y"}
    assert found["id"].changed_fraction == 0.5
    assert found["id"].where[0] == "row 2: None and c"
    assert found["score"].metrics is not None
    assert found["score"].metrics.max_abs == 0.5
    assert found["score"].where == ("[1]: 2.0 and 2.5",)
    assert found["emb[]"].verdict is Verdict.WITHIN_TOLERANCE
    assert found["fixed[]"].changed_fraction == 1 / 8
    assert found["s.x"].metrics is not None


def test_how_a_file_is_cut_and_packed_is_no_difference(sides: Sides) -> None:
    table = pa.table({"x": np.arange(5000.0), "t": pa.array(["u", "v"] * 2500).dictionary_encode()})
    parquet.write_table(table, sides[0] / "x.parquet", row_group_size=7)
    parquet.write_table(table, sides[1] / "x.parquet", compression="gzip", row_group_size=999)
    assert only(sides).verdict is Verdict.IDENTICAL


def test_columns_without_a_partner_are_told(sides: Sides) -> None:
    one = pa.table({"x": [1, 2], "gone": [1, 2], "type": pa.array([1, 2], pa.int32())})
    found = by_part(sides, one, pa.table({"x": [1, 2], "type": [1.0, 2.0]}), "x.parquet")
    assert found["gone"].side == "baseline"
    assert "nothing to pair up" in found["type"].summary
    found = by_part(sides, one, one.slice(1), "x.parquet")
    assert "int64[2] and int64[1]" in found["x"].summary


def test_columns_whose_names_begin_alike_are_told_apart(sides: Sides) -> None:
    one = pa.table({"a": [1, 2], "a.b": [3, 4]})
    found = by_part(sides, one, pa.table({"a": [1, 2], "a.b": [3, 5]}), "x.parquet")
    assert found.keys() == {"", "a.b"}


def test_a_null_on_one_side_is_no_small_difference(sides: Sides) -> None:
    one = pa.table({"x": pa.array([1.0, None, 3.0, None])})
    found = by_part(sides, one, pa.table({"x": pa.array([1.0, None, 3.0 + 1e-9, None])}), "x.arrow")
    assert found["x"].verdict is Verdict.WITHIN_TOLERANCE
    found = by_part(sides, one, pa.table({"x": pa.array([1.0, None, 3.0, 4.0])}), "x.arrow")
    assert found["x"].verdict is Verdict.DIVERGENT
    assert found["x"].where == ("row 3: None and 4.0",)


def test_bits_count_where_values_are_equal(sides: Sides) -> None:
    one = pa.table({"x": [0.0, float("nan")]})
    found = by_part(sides, one, pa.table({"x": [-0.0, float("nan")]}), "x.parquet")
    assert found["x"].changed_fraction == 0.5


def test_lists_of_other_lengths_are_not_paired(sides: Sides) -> None:
    found = by_part(
        sides, pa.table({"x": [[1, 2], [3]]}), pa.table({"x": [[1], [2, 3, 4]]}), "x.parquet"
    )
    assert found["x (lengths)"].changed_fraction == 1.0
    assert "other lengths" in found["x[]"].summary


columns = st.one_of(
    st.lists(st.none() | st.integers(-9, 9)),
    st.lists(st.none() | st.floats()),
    st.lists(st.none() | st.text(max_size=3)),
    st.lists(st.none() | st.lists(st.none() | st.floats(width=32), max_size=3)),
    st.lists(st.dictionaries(st.sampled_from("ab"), st.none() | st.booleans())),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns, st.sampled_from(sorted(WRITERS)), st.integers(1, 4))
def test_a_table_equals_itself(sides: Sides, column: list[Any], name: str, cut: int) -> None:
    clear(sides)
    table = pa.table({"x": pa.array(column)})
    try:
        for side in sides:
            WRITERS[name](table, side / name)
    except pa.ArrowException:  # not every type can be written to every format
        return
    with (sides[1] / name).open("ab") as out:
        out.write(b"\0" * (name == "x.arrow"))  # other bytes, the same table
    pairs = dict.fromkeys(found.verdict for found in compare_trees(*sides, CONTEXT))
    assert list(pairs) == [Verdict.IDENTICAL]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(WRITERS)), st.data())
def test_damage_is_refused_or_told(sides: Sides, name: str, data: st.DataObject) -> None:
    clear(sides)
    table = pa.table({"x": [["ab", None], []] * 5, "y": np.arange(10.0)})
    for side in sides:
        WRITERS[name](table, side / name)
    path = sides[1] / name
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(8, len(content)))]))
    found = [one for one in compare_trees(*sides, CONTEXT) if not one.part]
    assert len(found) == 1


def test_a_bomb_is_not_unpacked(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_MEMORY", 1 << 26)
    zeros = np.zeros(1 << 26, dtype=np.int64)
    for number, side in enumerate(sides):
        zeros[0] = number
        options = ipc.IpcWriteOptions(compression="zstd")
        table = pa.table({"x": zeros})
        with ipc.new_file(side / "x.arrow", table.schema, options=options) as writer:
            writer.write_table(table)
        assert (side / "x.arrow").stat().st_size < 1 << 18
    found = only(sides)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "cannot be read as a table" in found.summary


def test_offsets_that_point_outside_are_refused(sides: Sides) -> None:
    for number, side in enumerate(sides):
        file(pa.table({"x": ["text", str(number)] * 2}), side / "x.arrow")
    data = (sides[1] / "x.arrow").read_bytes()
    offsets = np.array([0, 4, 5, 9, 10], dtype=np.int32).tobytes()
    assert data.count(offsets) == 1
    far = np.array([0, 4, 5, 9, 1 << 30], dtype=np.int32).tobytes()
    (sides[1] / "x.arrow").write_bytes(data.replace(offsets, far))
    assert only(sides).verdict is Verdict.NOT_COMPARABLE


def test_a_type_that_unpickles_is_not_made(sides: Sides, tmp_path: Path) -> None:
    # what pyarrow before 14.0.1 would have unpickled: CVE-2023-47248
    payload = b"cos\nmkdir\n(V" + os.fsencode(tmp_path / "ran") + b"\ntR."
    for number, side in enumerate(sides):
        metadata = {
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": payload,
        }
        kind = pa.field("x", pa.int64(), metadata=metadata)
        file(pa.table([[number]], schema=pa.schema([kind])), side / "x.arrow")
    found = {one.part: one for one in compare_trees(*sides, CONTEXT)}
    assert found["x"].verdict is Verdict.DIVERGENT
    assert not (tmp_path / "ran").exists()


WITHOUT = """
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from forkpoint.artifacts import Context, compare_trees
from forkpoint.compare import PRESETS
context = Context(tolerance=PRESETS["torch"])
for found in compare_trees(Path(sys.argv[1]), Path(sys.argv[2]), context):
    print(found.verdict, found.summary)
"""


def test_without_pyarrow_there_is_a_hint(sides: Sides) -> None:
    for number, side in enumerate(sides):
        parquet.write_table(pa.table({"x": [number]}), side / "x.parquet")
    argv = [sys.executable, "-c", WITHOUT, *map(str, sides)]
    out = subprocess.check_output(argv, text=True, env={**os.environ, "PYTHONPATH": str(SOURCES)})
    assert out.startswith("not_comparable Not compared")
    assert "forkpoint[tables]" in out


def test_an_old_pyarrow_is_not_used(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, side in enumerate(sides):
        parquet.write_table(pa.table({"x": [number]}), side / "x.parquet")
    tables._pyarrow.cache_clear()
    monkeypatch.setattr(pa, "__version__", "14.0.0")
    assert "run code" in only(sides).summary
    tables._pyarrow.cache_clear()


def csv(sides: Sides, one: str, two: str, name: str = "x.csv") -> Artifact:
    for side, text in zip(sides, (one, two), strict=True):
        (side / name).write_text(text)
    return only(sides)


def test_cells_are_named_by_row_and_column(sides: Sides) -> None:
    found = csv(sides, 'id,score\na,0.5\n"b,c",1\n', 'id,score\na,0.50000001\n"b,c",1\n')
    assert (found.kind, found.verdict) == ("csv", Verdict.WITHIN_TOLERANCE)
    assert found.where == ("row 2, score: 0.5 and 0.50000001",)
    found = csv(sides, "1,2\n3,4\n", "1,2\n3,5\n6,7\n")
    assert found.where == ("row 2, column 2: 4 and 5", "row 3: only in one file")
    assert found.verdict is Verdict.DIVERGENT


def test_how_cells_are_written_is_no_difference(sides: Sides) -> None:
    assert csv(sides, 'a,"b"\r\n1.0,2\r\n', "a,b\n1.00,2\n").verdict is Verdict.IDENTICAL


def test_cells_may_be_parted_by_tabs(sides: Sides) -> None:
    assert csv(sides, "a\tb\n", 'a\t"b"\n', "x.tsv").verdict is Verdict.IDENTICAL


@pytest.mark.parametrize("text", ['a,"b\n', "a" * 200_000 + ",b\n"])
def test_tables_that_cannot_be_read_are_refused(sides: Sides, text: str) -> None:
    assert csv(sides, "a,b\n", text).verdict is Verdict.NOT_COMPARABLE
    (sides[1] / "x.csv").write_bytes(b"\xff\xfe,\n")
    assert "UTF-8" in only(sides).summary
