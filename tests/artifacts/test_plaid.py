"""Folders that are indexes: one artifact each, compared by what they mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forkpoint.artifacts import Contents, Context, compare_trees
from forkpoint.artifacts.indexes import Index, Rows, compare_indexes
from forkpoint.artifacts.npy import Npy, stored_array
from forkpoint.artifacts.unpacking import Found
from forkpoint.artifacts.walk import file_at
from forkpoint.compare import PRESETS
from forkpoint.errors import ForkpointError
from forkpoint.model import Artifact, Verdict
from tests.artifacts.test_indexes import DIM, inverted, renumbered, write

CONTEXT = Context(tolerance=PRESETS["torch"])


def index(documents: int = 6, lists: int = 4) -> Index:
    rng = np.random.default_rng(0)
    doclens = rng.integers(1, 5, documents)
    size = int(doclens.sum())
    codes = rng.integers(0, lists, size).astype(np.int32)
    ivf, lengths = inverted(codes, doclens, lists)
    return Index(
        centroids=rng.standard_normal((lists, DIM)).astype(np.float16),
        codes=codes,
        residuals=rng.integers(0, 256, (size, DIM // 2)).astype(np.uint8),
        cutoffs=np.sort(rng.standard_normal(15)).astype(np.float32),
        weights=np.sort(rng.standard_normal(16)).astype(np.float32),
        avg_residual=np.array(0.5, dtype=np.float32),
        doclens=doclens,
        ivf=ivf,
        ivf_lengths=lengths,
    )


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Two results with an index and a text beside it."""
    found = tmp_path / "a", tmp_path / "b"
    for number, side in enumerate(found):
        (side / "index").mkdir(parents=True)
        (side / "log.txt").write_text("same")
        metadata = {"config": {"time": number}, "mtime": number, "num_documents": 6}
        (side / "index" / "metadata.json").write_text(json.dumps(metadata))
    return found


def compared(sides: tuple[Path, Path], one: Index, two: Index) -> dict[str, Artifact]:
    for side, content in zip(sides, (one, two), strict=True):
        write(content, side / "index")
    found = compare_trees(*sides, CONTEXT)
    assert {artifact.path for artifact in found} == {"index", "log.txt"}
    return {artifact.part: artifact for artifact in found if artifact.path == "index"}


def test_the_noise_of_metadata_is_no_difference(sides: tuple[Path, Path]) -> None:
    found = compared(sides, index(), index())
    assert found[""].verdict is Verdict.IDENTICAL
    assert found[""].kind == "plaid"


def test_other_metadata_is_a_difference(sides: tuple[Path, Path]) -> None:
    (sides[1] / "index" / "metadata.json").write_text('{"num_documents": 7}')
    found = compared(sides, index(), index())
    assert found["metadata"].where == (".metadata.json.num_documents: 6 and 7",)


def test_another_order_of_ties_is_no_difference(sides: tuple[Path, Path]) -> None:
    one = index()
    assert compared(sides, one, renumbered(one, [2, 0, 3, 1]))[""].verdict is Verdict.IDENTICAL


def test_stages_are_counted(sides: tuple[Path, Path]) -> None:
    one = index()
    codes = one.codes.copy()
    codes[3] = (codes[3] + 1) % 4
    ivf, lengths = inverted(codes, one.doclens, 4)
    centroids = one.centroids.copy()
    centroids[2, 1] += 1
    two = replace(one, codes=codes, ivf=ivf, ivf_lengths=lengths, centroids=centroids)
    found = compared(sides, one, two)
    assert found[""].verdict is Verdict.DIVERGENT
    assert found["centroids"].summary.startswith("1 of 4 rows; float16[4, 8]: ")
    assert found["centroids"].metrics is not None
    assert found["codes"].summary.startswith(f"1 of {len(codes)} ")
    assert found["documents"].summary.startswith("1 of 6 ")
    assert "residuals" not in found


def test_other_bits_cannot_be_paired(sides: tuple[Path, Path]) -> None:
    one = index()
    two = replace(
        one,
        residuals=one.residuals[:, : DIM // 4],
        cutoffs=one.cutoffs[:3],
        weights=one.weights[:4],
    )
    assert "nothing to pair up" in compared(sides, one, two)["layout"].summary


def test_a_damaged_index_is_refused_and_stops_nothing(sides: tuple[Path, Path]) -> None:
    for side in sides:
        write(index(), side / "index")
    np.save(sides[1] / "index" / "0.codes.npy", np.full(len(index().codes), 99, dtype=np.int32))
    found = {one.path: one for one in compare_trees(*sides, CONTEXT)}
    assert found["index"].verdict is Verdict.NOT_COMPARABLE
    assert "names no centroid" in found["index"].summary
    assert found["log.txt"].verdict is Verdict.IDENTICAL


def test_files_that_are_links_make_no_index(sides: tuple[Path, Path]) -> None:
    for side in sides:
        write(index(), side / "index")
        path = side / "index" / "centroids.npy"
        path.rename(side / "elsewhere.npy")
        path.symlink_to("../elsewhere.npy")
    paths = {one.path for one in compare_trees(*sides, CONTEXT)}
    assert "index/centroids.npy" in paths


def test_an_index_on_one_side_is_files(sides: tuple[Path, Path]) -> None:
    write(index(), sides[0] / "index")
    found = compare_trees(*sides, CONTEXT)
    assert {one.side for one in found if one.path.endswith(".npy")} == {"baseline"}


FILES = {  # colbert-ai's files, and the parts of an index that they hold
    "centroids.pt": {"": "centroids"},
    "avg_residual.pt": {"": "avg_residual"},
    "buckets.pt": {"[0]": "cutoffs", "[1]": "weights"},
    "ivf.pid.pt": {"[0]": "ivf", "[1]": "ivf_lengths"},
    "0.codes.pt": {"": "codes"},
    "0.residuals.pt": {"": "residuals"},
}


def colbert(side: Path, content: Index, salt: bytes = b"") -> dict[Path, Contents]:
    """Write files that are colbert-ai's by name, and what a worker would read of them."""
    (side / "index" / "doclens.0.json").write_text(json.dumps(content.doclens.tolist()))
    found = {}
    for name, parts in FILES.items():
        path = side / "index" / name
        path.write_bytes(b"\x80" + salt)
        tensors = {}
        for part, attribute in parts.items():
            stored = side.parent / f"{side.name}.{name}{part}.npy"
            np.save(stored, getattr(content, attribute))
            file = file_at(stored.name, stored)
            assert Npy().recognises(file)
            tensors[part] = stored_array(file.open, file.size)
        found[path.resolve()] = Contents(tensors, None, {})
    return found


def test_indexes_of_colbert_are_read_by_a_worker(sides: tuple[Path, Path]) -> None:
    one = index()
    residuals = one.residuals.copy()
    residuals[0, 0] ^= 1
    contents = {
        **colbert(sides[0], one, b"a"),
        **colbert(sides[1], replace(one, residuals=residuals), b"b"),
    }

    @contextmanager
    def unpack(paths: Sequence[Path]) -> Iterator[Found]:
        yield {path: contents[path] for path in paths}

    found = {o.part: o for o in compare_trees(*sides, CONTEXT, unpack=unpack) if o.path == "index"}
    assert found.keys() == {"", "residuals", "documents"}
    assert found["residuals"].summary.startswith("1 of ")
    (refused,) = (o for o in compare_trees(*sides, CONTEXT) if o.path == "index")
    assert (refused.kind, refused.verdict) == ("colbert", Verdict.NOT_COMPARABLE)
    assert "--env" in refused.summary


def test_equal_indexes_of_colbert_need_no_worker(sides: tuple[Path, Path]) -> None:
    for side in sides:
        colbert(side, index())
    (found,) = (one for one in compare_trees(*sides, CONTEXT) if one.path == "index")
    assert found.verdict is Verdict.IDENTICAL


def test_chunks_are_one_array() -> None:
    whole = index(documents=40)
    chunks = np.array_split(whole.residuals, 7)
    rows = Rows([lambda chunk=chunk: chunk for chunk in chunks])
    codes = Rows([lambda chunk=chunk: chunk for chunk in np.array_split(whole.codes, 3)])
    assert compare_indexes(whole, replace(whole, residuals=rows, codes=codes)).identical
    order = np.random.default_rng(1).permutation(len(whole.codes))
    assert np.array_equal(rows[order], whole.residuals[order])
    with pytest.raises(ForkpointError, match="not of one kind"):
        Rows([lambda: np.zeros((1, 2)), lambda: np.zeros((1, 3))])
