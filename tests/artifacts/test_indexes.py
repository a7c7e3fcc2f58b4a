"""Late-interaction indexes: what is a difference, and what is only another layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkpoint.artifacts.index_files import read_index
from forkpoint.artifacts.indexes import Index, compare_indexes
from forkpoint.errors import ForkpointError

DIM, BITS = 8, 4


def inverted(codes: np.ndarray, doclens: np.ndarray, lists: int) -> tuple[np.ndarray, np.ndarray]:
    documents = np.repeat(np.arange(len(doclens)), doclens)
    found = [np.unique(documents[codes == code]) for code in range(lists)]
    return np.concatenate(found), np.array([len(one) for one in found])


def renumbered(index: Index, order: list[int]) -> Index:
    """The same index with its centroids in another order, and its lists backwards."""
    place = np.argsort(order)
    parts = np.split(index.ivf, np.cumsum(index.ivf_lengths)[:-1])
    return replace(
        index,
        centroids=index.centroids[order],
        codes=place[index.codes].astype(np.int32),
        ivf=np.concatenate([parts[old][::-1] for old in order]),
        ivf_lengths=index.ivf_lengths[order],
    )


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    doclens = np.array(draw(st.lists(st.integers(0, 5), min_size=1, max_size=6)), dtype=np.int64)
    size, lists = int(doclens.sum()), draw(st.integers(1, 6))
    codes = rng.integers(0, lists, size)
    ivf, lengths = inverted(codes, doclens, lists)
    return Index(
        centroids=rng.standard_normal((lists, DIM)).astype(np.float16),
        codes=codes.astype(np.int32),
        residuals=rng.integers(0, 256, (size, DIM * BITS // 8)).astype(np.uint8),
        cutoffs=np.sort(rng.standard_normal(2**BITS - 1)).astype(np.float32),
        weights=np.sort(rng.standard_normal(2**BITS)).astype(np.float32),
        avg_residual=np.array(0.5, dtype=np.float32),
        doclens=doclens,
        ivf=ivf,
        ivf_lengths=lengths,
        documents=tuple(f"d{number}" for number in range(len(doclens))),
    )


@settings(deadline=None)
@given(indexes())
def test_an_index_is_identical_to_itself(index: Index) -> None:
    found = compare_indexes(index, index)
    assert found.identical
    assert found.codes == (0, len(index.codes))
    assert not found.permuted


@settings(deadline=None)
@given(indexes(), st.randoms(use_true_random=False))
def test_renumbered_centroids_and_shuffled_lists_are_no_difference(index: Index, random) -> None:
    order = list(range(len(index.centroids)))
    random.shuffle(order)
    found = compare_indexes(index, renumbered(index, order))
    assert found.identical
    assert found.permuted == (order != sorted(order))


@settings(deadline=None)
@given(indexes(), st.randoms(use_true_random=False))
def test_documents_are_matched_by_id(index: Index, random) -> None:
    order = list(range(len(index.doclens)))
    random.shuffle(order)
    rows = np.concatenate([np.arange(index.starts[d], index.starts[d + 1]) for d in order]).astype(
        np.int64
    )
    place = np.argsort(order)
    assert index.documents is not None
    other = replace(
        index,
        codes=index.codes[rows],
        residuals=index.residuals[rows],
        doclens=index.doclens[order],
        ivf=place[index.ivf],
        documents=tuple(index.documents[d] for d in order),
    )
    assert compare_indexes(index, other).identical


@settings(deadline=None)
@given(indexes().filter(lambda i: len(i.codes) and len(i.centroids) > 1), st.data())
def test_one_code_that_changes_is_counted_once(index: Index, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(index.codes) - 1))
    codes = index.codes.copy()
    codes[row] = (codes[row] + 1) % len(index.centroids)
    ivf, lengths = inverted(codes, index.doclens, len(index.centroids))
    found = compare_indexes(index, replace(index, codes=codes, ivf=ivf, ivf_lengths=lengths))
    assert not found.identical
    assert found.codes[0] == found.documents[0] == 1
    assert found.residuals[0] == 0
    assert found.lists[0] <= 2


@settings(deadline=None)
@given(indexes().filter(lambda i: len(i.codes)), st.data())
def test_one_bit_of_a_residual_is_one_coordinate(index: Index, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(index.codes) - 1))
    byte = data.draw(st.integers(0, index.residuals.shape[1] - 1))
    residuals = index.residuals.copy()
    residuals[row, byte] ^= 1 << data.draw(st.integers(0, 7))
    found = compare_indexes(index, replace(index, residuals=residuals))
    assert (found.residuals[0], found.documents[0], found.codes[0]) == (1, 1, 0)


def test_buckets_are_unpacked_as_they_were_packed() -> None:
    values = np.arange(DIM, dtype=np.uint8)[None] + 3
    bits = (values[..., None] >> np.arange(BITS, dtype=np.uint8)) & 1  # as colbert-ai does it
    index = some()
    packed = replace(index, residuals=np.packbits(bits.reshape(1, -1), axis=1))
    assert packed.buckets(np.array([0])).tolist() == values.tolist()


def test_padding_behind_the_lists_is_no_difference() -> None:
    padded = replace(some(), ivf=np.array([0, 0, 0]))
    assert compare_indexes(some(), padded).identical


def some() -> Index:
    """One document with one embedding."""
    return Index(
        centroids=np.zeros((1, DIM), dtype=np.float16),
        codes=np.zeros(1, dtype=np.int64),
        residuals=np.zeros((1, DIM * BITS // 8), dtype=np.uint8),
        cutoffs=np.zeros(2**BITS - 1, dtype=np.float32),
        weights=np.zeros(2**BITS, dtype=np.float32),
        avg_residual=np.zeros(DIM, dtype=np.float32),
        doclens=np.array([1]),
        ivf=np.array([0]),
        ivf_lengths=np.array([1]),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"codes": np.array([7])}, "a code names no centroid"),
        ({"codes": np.array([-1])}, "a code names no centroid"),
        ({"doclens": np.array([2])}, "do not add up to the codes"),
        ({"ivf": np.array([9])}, "a list names no document"),
        ({"ivf_lengths": np.array([3])}, "longer than the ivf"),
        ({"weights": np.zeros(3, dtype=np.float32)}, "do not fit centroids and buckets"),
        ({"documents": ("a", "b")}, "not one id for each document"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong: dict, said: str) -> None:
    with pytest.raises(ForkpointError, match=said):
        replace(some(), **wrong)


def write(index: Index, folder: Path) -> None:
    arrays = {
        "centroids": index.centroids,
        "0.codes": index.codes,
        "0.residuals": index.residuals,
        "bucket_cutoffs": index.cutoffs,
        "bucket_weights": index.weights,
        "avg_residual": index.avg_residual,
        "ivf": index.ivf,
        "ivf_lengths": index.ivf_lengths.astype(np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "doclens.0.json").write_text(json.dumps(index.doclens.tolist()))


def test_an_index_is_read_from_its_files(tmp_path: Path) -> None:
    write(some(), tmp_path)
    assert compare_indexes(some(), read_index(tmp_path)).identical


@pytest.mark.parametrize("name", ["centroids.npy", "0.residuals.npy", "doclens.0.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    write(some(), tmp_path)
    (tmp_path / name).write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ForkpointError, match=name):
        read_index(tmp_path)
