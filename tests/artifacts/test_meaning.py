"""What is equal, and what is not, in each format: nothing is called equal that is not."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save

from forkpoint.artifacts import Context, compare_trees
from forkpoint.compare import PRESETS
from forkpoint.model import Artifact, Verdict

CONTEXT = Context(tolerance=PRESETS["torch"])
SAME, CLOSE, OTHER = Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE, Verdict.DIVERGENT
REFUSED = Verdict.NOT_COMPARABLE


def found(tmp_path: Path, name: str, one: bytes, two: bytes) -> Artifact:
    for side, data in (("a", one), ("b", two)):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / name).write_bytes(data)
        (tmp_path / side / "fine").write_bytes(b"fine")
    rows = {
        (row.path, row.part): row for row in compare_trees(tmp_path / "a", tmp_path / "b", CONTEXT)
    }
    assert rows["fine", ""].verdict is SAME
    return rows[name, ""]


DOCUMENTS = [
    ("[1.0]", "[1.00]", SAME),
    ("[1.5e3]", "[15.0E2]", SAME),
    ("[1]", "[1.0]", CLOSE),
    ("[0]", "[-0]", CLOSE),
    ("[1e-0]", "[-1e-0]", OTHER),
    ("[0.0]", "[-0.0]", CLOSE),
    ("[0.1]", "[0.1000000000000000055]", CLOSE),
    ("[1e400]", "[1e401]", OTHER),
    ("[1e99999999999999999999]", "[1e99999999999999999998]", OTHER),
    ("[1e-400]", "[2e-400]", CLOSE),
    ("[%s1]" % ("9" * 6000), "[%s2]" % ("9" * 6000), OTHER),
    ("[%s1.5]" % ("9" * 400), "[-%s1.5]" % ("9" * 400), OTHER),
    ("[9007199254740993]", "[9007199254740992.0]", OTHER),
    ("[9007199254740993]", "[9007199254740992]", OTHER),
    ("[NaN]", "[Infinity]", OTHER),
    ("[NaN]", "[null]", OTHER),
    ("[NaN, 1]", "[NaN,1]", SAME),
    ("[1]", "[true]", OTHER),
    ("[1]", '["1"]', OTHER),
    ("[]", "{}", OTHER),
    ("[[]]", "[null]", OTHER),
    ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', SAME),
    ('{"a": 1, "b": 1, "b": 2}', '{"a": 1, "b": 2}', OTHER),
    ('{"b": 1, "b": 2}', '{"b": 2, "b": 1}', OTHER),
    ('{"b": [1], "b": [2]}', '{"b": [3], "b": [2]}', OTHER),
    ('{"b": 1, "b": 2}', '{"b":1,"b":2}', SAME),
    ('{"b": 1, "b": 2}', '{"b": [1, 2]}', OTHER),
    ('{"\\ud800": 1}', '{"\\ud801": 1}', OTHER),
    ('{"\\ud800": 1}', '{"\\ud800": 2}', OTHER),
    ('["\\u0000"]', '[""]', OTHER),
    ('["\\u00e9"]', '["\u00e9"]', SAME),
    ('["e\u0301"]', '["\u00e9"]', OTHER),
    ("\ufeff[1]", "[1]", OTHER),
    ("[1]", "[1] ", SAME),
    ("[1]", "[1] 2", REFUSED),
    ("[1]", "[01]", REFUSED),
    ("[1]", "[1_0]", REFUSED),
    ("[1]", "[٣]", REFUSED),
    ("[" * 90_000, "[" * 90_001, REFUSED),
]


@pytest.mark.parametrize(("one", "two", "verdict"), DOCUMENTS)
def test_documents(tmp_path: Path, one: str, two: str, verdict: Verdict) -> None:
    row = found(tmp_path, "x.json", one.encode(), two.encode())
    assert row.verdict is verdict
    if verdict is SAME:
        assert "not every byte" in row.summary


LINES = [
    ('{"a": 1}\n', '{"a":1}', SAME),
    ('{"a": 1}\n', '{"a": 1}\r\n', SAME),
    ("\n1\n", "null\n1\n", OTHER),
    ("1\n\n", "1\n", OTHER),
    ("1\n \n", "1\n\n", SAME),
    ('{"a": 1, "a": 2}\n', '{"a": 2}\n', OTHER),
    ("1e400\n", "1e999\n", OTHER),
    ("\ufeff1\n", "1\n", OTHER),
]


@pytest.mark.parametrize(("one", "two", "verdict"), LINES)
def test_lines_of_json(tmp_path: Path, one: str, two: str, verdict: Verdict) -> None:
    assert found(tmp_path, "x.jsonl", one.encode(), two.encode()).verdict is verdict


CELLS = [
    ("00", "0", OTHER),
    ("007.5", "7.5", OTHER),
    ("1_000", "1000", OTHER),
    ("+49", "49", OTHER),
    (" 7", "7", OTHER),
    ("7 ", "7", OTHER),
    ("\u0667", "7", OTHER),
    ("\uff17", "7", OTHER),
    ("1e400", "1e500", OTHER),
    ("1e309", "inf", OTHER),
    ("inf", "Infinity", OTHER),
    ("nan", "NaN", OTHER),
    ("nan", "nan", SAME),
    ("", "nan", OTHER),
    ("", '""', OTHER),
    ('"7"', "7", SAME),
    ("0x10", "16", OTHER),
    ("1.0", "1", CLOSE),
    ("-0.0", "0.0", CLOSE),
    ("1.50", "1.5", SAME),
    ("1.5", "1.5000001", CLOSE),
    ("True", "1", OTHER),
    ("9" * 4000 + ".5", "9" * 4001 + ".5", OTHER),
    ("12345678901234567890", "12345678901234567891", OTHER),
    ('"a\nb"', '"a\r\nb"', OTHER),
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(("one", "two", "verdict"), CELLS)
def test_cells(tmp_path: Path, suffix: str, one: str, two: str, verdict: Verdict) -> None:
    cut = "," if suffix == ".csv" else "\t"
    first, second = (f"id{cut}b\n{cell}{cut}x\n\n" for cell in (one, two))
    if one == two:
        second = second.replace("\n", "\r\n")
    assert found(tmp_path, "x" + suffix, first.encode(), second.encode()).verdict is verdict


def test_rows_and_cells_that_are_missing(tmp_path: Path) -> None:
    assert found(tmp_path, "x.csv", b"a,b,\n", b"a,b\n").verdict is OTHER
    assert found(tmp_path, "x.csv", b"a\n\nb\n", b"a\nb\n").verdict is OTHER
    assert found(tmp_path, "x.csv", b"a\n\n", b'a\n""\n').verdict is OTHER
    assert found(tmp_path, "x.csv", b"\xef\xbb\xbfa\n1\n", b"a\n1\n").verdict is OTHER
    assert found(tmp_path, "x.csv", b"a\n\xff\n", b"a\n\xfe\n").verdict is REFUSED


@pytest.mark.parametrize(
    ("one", "two"),
    [(b"a\n", b"a\r\n"), (b"a\n", b"a"), (b"a\n", b"a\n\n"), (b"a\n", b"a \n"),
     (b"a\r\n", b"a\r\r\n"), (b"\xef\xbb\xbfa\n", b"a\n"), ("é\n".encode(), "e\u0301\n".encode())],
)  # fmt: skip
def test_text_is_its_bytes(tmp_path: Path, one: bytes, two: bytes) -> None:
    assert found(tmp_path, "x.txt", one, two).verdict is OTHER


TREC = "q1 Q0 d1 1 9.5 t\nq1 Q0 d2 2 1.0 t\n"
RUNS = [
    (TREC.replace("9.5", "9.50"), SAME),
    (TREC.replace(" ", "\t"), SAME),
    (TREC.replace("9.5", "9.5000001"), CLOSE),
    (TREC.replace("1.0", "-1.0"), OTHER),
    (TREC.replace("9.5", "9.5e400"), OTHER),
    (TREC.replace("d2", "D2"), OTHER),
    (TREC.replace("d1 1", "d1 3"), OTHER),
    (TREC.replace(" t\n", " u\n"), OTHER),
    (TREC.replace("Q0 d1", "0 d1"), OTHER),
    (TREC + "q2 Q0 d1 1 1.0 t\n", OTHER),
    (TREC.replace("9.5", "1_0.5"), OTHER),
    (TREC + 3 * "q9 Q0 d1 1 1.0 t\nq9 Q0 d2 1 1.0 t\n" + "and more\n", REFUSED),
    (TREC + TREC, REFUSED),
]


@pytest.mark.parametrize(("two", "verdict"), RUNS)
def test_runs(tmp_path: Path, two: str, verdict: Verdict) -> None:
    row = found(tmp_path, "x.run", TREC.encode(), two.encode())
    assert row.verdict is verdict


def test_tied_documents_that_swap_places(tmp_path: Path) -> None:
    one, two = (f"q Q0 {a} 1 1.0 t\nq Q0 {b} 1 1.0 t\n".encode() for a, b in ("xy", "yx"))
    assert found(tmp_path, "x.run", one, two).verdict is OTHER


RANKINGS = [
    ('{"q": [["7", 2]]}', '{"q": [[7, 2]]}', OTHER),
    ('{"q": [["d", 2]]}', '{"q": [["d", 2.0]]}', CLOSE),
    ('{"q": [["d", 2.5]]}', '{"q": [["d", 9.5]]}', OTHER),
    ('{"q": [["d", 1e400]]}', '{"q": [["d", 1e401]]}', OTHER),
    ('{"q": [["d", true]]}', '{"q": [["d", 1]]}', OTHER),
    ('{"q": [["d", NaN]]}', '{"q": [["d", 1.5]]}', OTHER),
    ('{"q": [["d", 1], ["d", 2]]}', '{"q": [["d", 1], ["d", 3]]}', OTHER),
    ('{"q": [["d", 1.5]], "q": [["d", 2.5]]}', '{"q": [["d", 2.5]]}', OTHER),
    ('{"q": [["d", 1.5]], "k": 10}', '{"q": [["d", 1.5]], "k": 11}', OTHER),
    ('{"q": [["d", 1.5]], "r": []}', '{"q": [["d", 1.5]]}', OTHER),
    ('{"q": [["d", 1.5]]}', '{"q":[["d",1.50]]}', SAME),
]


@pytest.mark.parametrize(("one", "two", "verdict"), RANKINGS)
def test_documents_that_look_like_rankings(
    tmp_path: Path, one: str, two: str, verdict: Verdict
) -> None:
    assert found(tmp_path, "x.json", one.encode(), two.encode()).verdict is verdict


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_no_name_tells_apart(tmp_path: Path) -> None:
    one, two = npy(np.arange(3)), npy(np.arange(4))
    twice = [npz(("x.npy", data), ("x.npy", one)) for data in (one, two)]
    assert found(tmp_path, "x.npz", *twice).verdict is REFUSED
    alike = [npz(("x.npy", data), ("x", one)) for data in (one, two)]
    assert found(tmp_path, "x.npz", *alike).verdict is REFUSED
    bare = [npz((".npy", data)) for data in (one, two)]
    assert found(tmp_path, "x.npz", *bare).verdict is REFUSED
    cut = [npz(("x_.npy", data)).replace(b"x_.npy", b"x\0.npy") for data in (one, two)]
    assert found(tmp_path, "x.npz", *cut).verdict is REFUSED


def test_byte_order_is_told(tmp_path: Path) -> None:
    for kind in ("f4", "i8", "U2", "M8[s]"):
        one = np.arange(3).astype(f"<{kind}")
        row = found(tmp_path, "x.npy", npy(one), npy(one.astype(f">{kind}")))
        assert row.verdict is CLOSE
        assert "byte order" in row.summary
    (tmp_path / "t").mkdir()
    for side, order in zip("ab", "<>", strict=True):
        np.save(tmp_path / side / "x.npy", np.arange(3, dtype=f"{order}f4"))
    bitwise = Context(tolerance=PRESETS["bitwise"])
    rows = {row.path: row for row in compare_trees(tmp_path / "a", tmp_path / "b", bitwise)}
    assert rows["x.npy"].verdict is OTHER


@pytest.mark.parametrize("dimensions", [65, 100])
def test_more_dimensions_than_arrays_have(tmp_path: Path, dimensions: int) -> None:
    def file(number: int) -> bytes:
        facts = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({'1,' * dimensions})}}"
        text = facts.encode().ljust(500) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes([number])

    assert found(tmp_path, "x.npy", file(0), file(1)).verdict is REFUSED


def tensors(header: str, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + data


def test_tensors_said_twice_holes_and_notes(tmp_path: Path) -> None:
    entry = '{"dtype": "U8", "shape": [1], "data_offsets": [%d, %d]}'
    first, second = entry % (0, 1), entry % (1, 2)
    twice = f'{{"x": {first}, "x": {second}}}'
    hole = f'{{"x": {first}}}'
    text = '{"x": {"dtype": "U8", "shape": ["1"], "data_offsets": [0, 1]}}'
    for header, rest in ((twice, b"7"), (hole, b"7"), (text, b"")):
        sides = (tensors(header, bytes([number]) + rest) for number in (1, 2))
        assert found(tmp_path, "x.safetensors", *sides).verdict is REFUSED
    zeros = {"x": np.zeros(2)}
    row = found(tmp_path, "x.safetensors", save(zeros, {"a": "1"}), save(zeros, {"a": "2"}))
    assert row.verdict is OTHER
    assert row.where == ("__metadata__",)
    assert found(tmp_path, "x.safetensors", save(zeros, {"a": "1"}), save(zeros)).verdict is OTHER


def test_what_a_schema_says_beside_the_types(tmp_path: Path) -> None:
    def written(table: pa.Table) -> bytes:
        stream = io.BytesIO()
        parquet.write_table(table, stream)
        return stream.getvalue()

    table = pa.table({"x": [1, 2], "y": [3, 4]})
    noted = table.replace_schema_metadata({"unit": "m"})
    other = noted.replace_schema_metadata({"unit": "mm"})
    strict = table.cast(pa.schema([pa.field("x", pa.int64(), nullable=False), ("y", pa.int64())]))
    named = table.cast(
        pa.schema([pa.field("x", pa.int64(), metadata={"unit": "m"}), ("y", pa.int64())])
    )
    for second in (noted, other, strict, named, table.select(["y", "x"])):
        first = noted if second is other else table
        row = found(tmp_path, "x.parquet", written(first), written(second))
        assert (row.verdict, row.where) == (OTHER, ("schema",))


def test_what_lies_below_a_null_is_null(tmp_path: Path) -> None:
    def side(hidden: int) -> bytes:
        values = pa.StructArray.from_arrays(
            [pa.array([1, hidden])], ["x"], mask=pa.array([False, True])
        )
        stream = io.BytesIO()
        with pa.ipc.new_file(stream, pa.schema([("s", values.type)])) as writer:
            writer.write_table(pa.table({"s": values}))
        return stream.getvalue()

    assert found(tmp_path, "x.arrow", side(5), side(6)).verdict is SAME


def test_a_long_key_over_many_values_is_spelled_once(tmp_path: Path) -> None:
    sides = (json.dumps({"k" * 300_000: [0.5] * 5000 + [n]}).encode() for n in (1, 2))
    row = found(tmp_path, "x.json", *sides)
    assert row.verdict is OTHER
    assert all(len(where) < 300 for where in row.where)


def test_values_are_shown_from_where_they_part(tmp_path: Path) -> None:
    sides = (json.dumps({"a b": ["x" * 5000 + end]}).encode() for end in ("one", "two"))
    row = found(tmp_path, "x.json", *sides)
    assert row.where == ("[\"a b\"][0]: from character 4,993 on 'xxxxxxxxone' and 'xxxxxxxxtwo'",)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    for side, text in (("a", b"[1]"), ("b", b"[2]")):
        (tmp_path / side).mkdir()
        (tmp_path / side / os.fsdecode(b"\xfe\\xfe.json")).write_bytes(text)
    (row,) = compare_trees(tmp_path / "a", tmp_path / "b", CONTEXT)
    assert os.fsencode(row.path) == b"\xfe\\xfe.json"
    assert row.verdict is OTHER
