"""Files to fuzz readers with: by a seed, so that each can be made again.

`changed` makes a valid file and another one in which one value is not the same; `mutated` damages
one; `hostile` makes files that ask for too much.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc, parquet
from safetensors.numpy import save

Pair = tuple[bytes, bytes]
LEAVES: tuple[str, ...] = (
    *("0", "-0", "0.0", "-0.0", "1", "1.5", "1e5", "1e400", "1e-400", "-7", "9007199254740993"),
    *("123456789" * 9, "0.1", "0.10000000000000000555", "NaN", "Infinity", "true", "false", "null"),
    *('""', '"a"', '"7"', '"\\ud800"', '"\\u200b"', '"\\u0000"', "[]", "{}", "2.5E-3", "-1e99999"),
)
CELLS = ("", "7", "007", "1_0", "٣", "+7", "1e400", "1e401", "-0.0", "0.0", "nan", "NaN", "a", "a ")
CELLS += ("7.5", "7.25", "9" * 50, "9" * 49 + "8", "\u200b", "1,5", 'say "hi"', "two\nlines", "0x1")
WORDS = ("d1", "d2", "007", "7", "é", "\u200bd", "d-3", "D1")
DTYPES = ("<f4", ">f4", "<f8", "<f2", "<i4", ">i8", "|u1", "|b1", "<c8", "<U3", "|S2", "<M8[s]")


def number(rng: Random) -> str:
    return repr(rng.choice((rng.uniform(-9, 9), 10 ** rng.uniform(-300, 300), rng.randrange(99))))


def document(rng: Random, depth: int = 0) -> Any:
    """A JSON document as a tree of lists, lists of (key, value), and leaves as text."""
    kind = rng.random()
    if depth > 3 or kind < 0.4:
        return rng.choice(LEAVES) if rng.random() < 0.6 else number(rng)
    if kind < 0.7:
        return [document(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = rng.sample(("a", "b", "a.b", "\\u200b", "", "\\udfff", "k" * 200), rng.randrange(1, 4))
    if rng.random() < 0.1:
        keys.append(keys[0])
    return [("key", key, document(rng, depth + 1)) for key in keys]


def written(tree: Any) -> str:
    """The tree as JSON."""
    if isinstance(tree, str):
        return tree
    if tree and isinstance(tree[0], tuple):
        return "{" + ", ".join(f'"{key}": {written(value)}' for _, key, value in tree) + "}"
    return "[" + ", ".join(map(written, tree)) + "]"


def other_leaf(rng: Random, leaf: str) -> str:
    return rng.choice([one for one in LEAVES if one != leaf and not same(one, leaf)])


def same(one: str, two: str) -> bool:
    """Whether two leaves mean one value, by Python's own reader."""
    return one == two or value_of(one) == value_of(two)


def value_of(text: str) -> Any:
    from decimal import Decimal

    def exact(number: str) -> tuple[str, Any]:
        found = Decimal(number)
        return ("float", found.is_signed(), found) if set(number) & set(".eE") else ("int", number)

    return json.loads(
        text, parse_int=exact, parse_float=exact, parse_constant=lambda name: ("name", name),
        object_pairs_hook=lambda pairs: ("object", group(pairs)),
    )  # fmt: skip


def group(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def change_tree(rng: Random, tree: Any) -> Any:
    """The same tree with one leaf, key or length changed."""
    if isinstance(tree, str):
        return other_leaf(rng, tree)
    if not tree:
        return ["1"]
    at = rng.randrange(len(tree))
    item = tree[at]
    if isinstance(item, tuple):
        if rng.random() < 0.2:
            new = ("key", item[1] + "!", item[2])
        else:
            new = ("key", item[1], change_tree(rng, item[2]))
    elif rng.random() < 0.2:
        return [*tree[:at], *tree[at + 1 :]] if len(tree) > 1 else [*tree, "1"]
    else:
        new = change_tree(rng, item)
    return [*tree[:at], new, *tree[at + 1 :]]


def json_pair(rng: Random) -> Pair:
    tree = document(rng)
    return written(tree).encode(), written(change_tree(rng, tree)).encode()


def lines_pair(rng: Random) -> Pair:
    trees = [document(rng) for _ in range(rng.randrange(1, 6))]
    at = rng.randrange(len(trees))
    other = [*trees[:at], change_tree(rng, trees[at]), *trees[at + 1 :]]
    return tuple("".join(written(t) + "\n" for t in side).encode() for side in (trees, other))  # type: ignore[return-value]


def table_pair(rng: Random, delimiter: str) -> Pair:
    import csv

    width = rng.randrange(1, 5)
    rows = [[rng.choice(CELLS) for _ in range(width)] for _ in range(rng.randrange(1, 7))]
    at, column = rng.randrange(len(rows)), rng.randrange(width)
    other = [list(row) for row in rows]
    other[at][column] = rng.choice([cell for cell in CELLS if cell != rows[at][column]])
    sides = []
    for side in (rows, other):
        stream = io.StringIO()
        csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(side)
        sides.append(stream.getvalue().encode())
    return sides[0], sides[1]


def text_pair(rng: Random) -> Pair:
    lines = [rng.choice(CELLS) + rng.choice(("\n", "\r\n")) for _ in range(rng.randrange(1, 9))]
    at = rng.randrange(len(lines))
    new = rng.choice((lines[at] + "\n", lines[at].rstrip("\n") + " \n", "x" + lines[at]))
    return "".join(lines).encode(), "".join([*lines[:at], new, *lines[at + 1 :]]).encode()


def run_pair(rng: Random) -> Pair:
    rows = []
    for query in range(rng.randrange(1, 4)):
        for rank, word in enumerate(rng.sample(WORDS, rng.randrange(1, 5)), 1):
            rows.append([f"q{query}", "Q0", word, str(rank), number(rng), "tag"])
    at, column = rng.randrange(len(rows)), rng.choice((0, 1, 2, 3, 4, 5))
    other = [list(row) for row in rows]
    other[at][column] = "77" if column in (3, 4) else other[at][column] + "x"
    return tuple("".join(" ".join(r) + "\n" for r in side).encode() for side in (rows, other))  # type: ignore[return-value]


def ranking_pair(rng: Random) -> Pair:
    one = {
        f"q{query}": [
            [word, rng.choice((rng.random(), 3, 10**400))] for word in rng.sample(WORDS, 3)
        ]
        for query in range(rng.randrange(1, 4))
    }
    two = json.loads(json.dumps(one))
    row = rng.choice(rng.choice(list(two.values())))
    row[rng.randrange(2)] = rng.choice(("new", 5, 77, True, None))
    return json.dumps(one).encode(), json.dumps(two).encode()


def array(rng: Random) -> np.ndarray[Any, Any]:
    shape = tuple(rng.randrange(1, 5) for _ in range(rng.randrange(3)))
    dtype = np.dtype(rng.choice(DTYPES))
    raw = rng.randbytes(math.prod(shape) * dtype.itemsize)
    found = np.frombuffer(raw, dtype=dtype).reshape(shape)
    if dtype.kind == "U":
        found = np.array(np.full(shape, "ab"), dtype=dtype)
    return np.asfortranarray(found) if rng.random() < 0.2 else found


def flipped(rng: Random, one: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    two = one.copy(order="K")
    flat = two.reshape(-1, order="A").view(np.uint8) if two.ndim else two.reshape(1).view(np.uint8)
    flat[rng.randrange(flat.size)] ^= 1
    return two


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_pair(rng: Random) -> Pair:
    one = array(rng)
    return npy(one), npy(flipped(rng, one))


def npz_pair(rng: Random) -> Pair:
    arrays = {name: array(rng) for name in rng.sample(("x", "é", "a/b", "y.npy"), 2)}
    name = rng.choice(list(arrays))
    sides = []
    for found in (arrays, {**arrays, name: flipped(rng, arrays[name])}):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", rng.choice((0, 8))) as archive:
            for member, held in found.items():
                archive.writestr(member + ".npy", npy(held))
        sides.append(stream.getvalue())
    return sides[0], sides[1]


def safetensors_pair(rng: Random) -> Pair:
    kinds = ("f4", "f8", "i4", "u1", "f2", "?")
    one = {
        name: np.frombuffer(bytes(8 * rng.randrange(1, 4)), dtype=rng.choice(kinds))
        for name in rng.sample(("x", "\u200b", "", "a.b"), 2)
    }
    notes = {"made": "by a fuzzer"} if rng.random() < 0.5 else None
    if notes and rng.random() < 0.5:
        return save(one, notes), save(one, {"made": "by hand"})
    name = rng.choice(list(one))
    return save(one, notes), save({**one, name: flipped(rng, one[name])}, notes)


def table(rng: Random) -> tuple[pa.Table, pa.Table]:
    size = rng.randrange(1, 9)
    columns: dict[str, list[Any]] = {
        "i": [rng.choice((None, 1, 2, -9)) for _ in range(size)],
        "f": [rng.choice((None, 0.0, -0.0, math.nan, 1.5)) for _ in range(size)],
        "t": [rng.choice((None, "", "a", "\u200b")) for _ in range(size)],
        "l": [rng.choice((None, [], [1.0], [None, 2.0])) for _ in range(size)],
        "s": [rng.choice((None, {"x": 1}, {"x": None})) for _ in range(size)],
    }
    news = {"i": 7, "f": 7.5, "t": "new", "l": [7.0, 7.0, 7.0], "s": {"x": 7}}
    kinds = pa.schema(
        [("i", pa.int32()), ("f", pa.float64()), ("t", pa.string()),
         ("l", pa.list_(pa.float32())), ("s", pa.struct([("x", pa.int8())]))]
    )  # fmt: skip
    name = rng.choice(list(columns))
    other = list(columns[name])
    other[rng.randrange(size)] = news[name]
    one, two = (pa.table(held, kinds) for held in (columns, {**columns, name: other}))
    if rng.random() < 0.1:
        return one, one.replace_schema_metadata({"note": "other"})
    return one, two


def parquet_pair(rng: Random) -> Pair:
    sides = []
    for side in table(rng):
        stream = io.BytesIO()
        parquet.write_table(side, stream, compression=rng.choice(("none", "snappy", "gzip")))
        sides.append(stream.getvalue())
    return sides[0], sides[1]


def arrow_pair(rng: Random) -> Pair:
    new = rng.choice((ipc.new_file, ipc.new_stream))
    sides = []
    for side in table(rng):
        stream = io.BytesIO()
        with new(stream, side.schema) as writer:
            writer.write_table(side)
        sides.append(stream.getvalue())
    return sides[0], sides[1]


CHANGED: dict[str, Callable[[Random], Pair]] = {
    "x.json": json_pair,
    "x.jsonl": lines_pair,
    "x.csv": lambda rng: table_pair(rng, ","),
    "x.tsv": lambda rng: table_pair(rng, "\t"),
    "x.txt": text_pair,
    "x.run": run_pair,
    "ranking.json": ranking_pair,
    "x.npy": npy_pair,
    "x.npz": npz_pair,
    "x.safetensors": safetensors_pair,
    "x.parquet": parquet_pair,
    "x.arrow": arrow_pair,
}


def changed(name: str, rng: Random) -> Pair:
    """A valid file, and the same file with one value changed."""
    while True:
        one, two = CHANGED[name](rng)
        if one != two:
            return one, two


ODD = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
    b"9" * 40,
    b"\xef\xbb\xbf",
    b"\r",
    b'"',
    b"[" * 40,
)


def mutated(rng: Random, data: bytes) -> bytes:
    """The file damaged in a few places."""
    found = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(found) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at:at] = rng.choice(ODD)
        elif kind == 2:
            del found[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            found[at : at + 8] = rng.choice(ODD)[:8]
        elif kind == 4:
            piece = found[at : at + rng.randrange(1, 64)]
            found[at:at] = piece * rng.choice((1, 2, 50))
        elif kind == 5:
            found[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 1 << 31, (1 << 32) - 1)))
        else:
            del found[at:]
    return bytes(found)


def _npy_of(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


def _tensors_of(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


@cache
def bomb(members: int) -> bytes:
    """Arrays of zeros in a small archive: 1 MiB each."""
    header = _npy_of(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 20},)}}")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}.npy", header + bytes(1 << 20))
    return stream.getvalue()


@cache
def empty_members(many: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(many):
            archive.writestr(f"{number}.npy", b"")
    return stream.getvalue()


@cache
def repeated_text(rows: int) -> bytes:
    """One long text in many rows, which Parquet keeps once."""
    stream = io.BytesIO()
    once = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * 100_000])
    parquet.write_table(pa.table({"t": once}), stream)
    return stream.getvalue()


HOSTILE: tuple[tuple[str, Callable[[int], bytes]], ...] = (
    ("x.json", lambda many: b"[" * many + b"]" * many),
    ("x.json", lambda many: b'{"a":' * many + b"1" + b"}" * many),
    ("x.json", lambda many: b'{"' + b"k" * many + b'": [' + b"1," * many + b"1]}"),
    ("x.json", lambda many: b"[" + b"{}," * many + b"1]"),
    ("x.json", lambda many: b"9" * many),
    ("x.json", lambda many: b'{"q": [["d", ' + b"9" * many + b"]]}"),
    ("x.json", lambda many: b"{" + b'"a": 1, ' * many + b'"a": 2}'),
    ("x.jsonl", lambda many: b"\n" * many + b"1"),
    ("x.jsonl", lambda many: b"[" * 900 + b"\n" * many),
    ("x.csv", lambda many: b"," * many),
    ("x.csv", lambda many: b'"' + b"a\n" * many),
    ("x.csv", lambda many: b"9" * many + b"," + b"1" * 100),
    ("x.csv", lambda many: b"\n" * many),
    ("x.csv", lambda many: b'"",' * many),
    ("x.txt", lambda many: b"a" * many),
    ("x.run", lambda many: b"q Q0 d 1 " + b"9" * many + b" t\n"),
    ("x.run", lambda many: b"".join(b"q Q0 d%d 1 1 t\n" % i for i in range(many // 10))),
    ("x.npy", lambda many: _npy_of("(" * (many // 10))),
    ("x.npy", lambda many: _npy_of("-" * (many // 10) + "1")),
    ("x.npy", lambda many: _npy_of(_DOUBLES % ("1," * (many // 10)))),
    ("x.npy", lambda many: _npy_of(_DOUBLES % ("9" * (many // 50) + ","))),
    ("x.npy", lambda _: _npy_of("{'descr': " + "[('a', " * 900 + "'<f8'" + ")]" * 900 + "}")),
    ("x.npz", lambda many: bomb(1 if many < 5000 else 60)),
    ("x.npz", lambda many: empty_members(many // 50)),
    ("x.safetensors", lambda many: _tensors_of(_TENSOR % ("9," * many + "1", "4"))),
    ("x.safetensors", lambda many: _tensors_of("[" * many)),
    ("x.safetensors", lambda many: _tensors_of(_TENSOR % ("0", "9" * many))),
    ("x.parquet", repeated_text),
)
_DOUBLES = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s)}"
_TENSOR = '{"x":{"dtype":"F32","shape":[%s],"data_offsets":[0,%s]}}'


def hostile(rng: Random) -> tuple[str, bytes]:
    """A file of up to about 1 MB that asks for far more than it is."""
    name, made = rng.choice(HOSTILE)
    return name, made(rng.choice((1000, 30_000, 200_000)))
