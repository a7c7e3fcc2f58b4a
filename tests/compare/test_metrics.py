from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forkpoint.compare import blocks, compare_arrays, metrics
from forkpoint.model import Metrics, Worst

FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
UNSIGNED = ["float8_e8m0fnu"]
INTS = ["int8", "uint8", "int16", "int64", "uint64"]


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


@st.composite
def pairs(draw: st.DrawFn, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of one dtype and shape, of any bits, many of them equal."""
    dtype = dtype_of(draw(st.sampled_from(names)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    bits = np.dtype(f"u{dtype.itemsize}")
    b = draw(hnp.arrays(bits, shape))
    c = draw(hnp.arrays(bits, shape))
    keep = draw(hnp.arrays(np.bool_, shape))
    return b.view(dtype), np.where(keep, b, c).astype(bits).view(dtype)


def neighbours(dtype: np.dtype[Any]) -> list[float]:
    """All finite numbers of an 8 or 16 bit type in order, both zeros as one."""
    every = np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype)
    wide = every.astype(np.float64)
    return sorted({float(x) + 0.0 for x in wide[np.isfinite(wide)]})


@pytest.mark.parametrize(
    "name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", *UNSIGNED]
)
def test_ulp_counts_the_steps_between_representable_numbers(name: str) -> None:
    dtype = dtype_of(name)
    numbers = neighbours(dtype)
    for i in range(0, len(numbers), 5):
        for j in range(0, len(numbers), 31):
            b, c = (np.array([numbers[k]], dtype=dtype) for k in (i, j))
            assert compare_arrays(b, c).max_ulp == abs(i - j)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_the_next_number_is_one_ulp_away(name: str) -> None:
    dtype = dtype_of(name)
    tiny = np.zeros(1, dtype=dtype)
    tiny.view(f"u{dtype.itemsize}")[0] = 1
    assert compare_arrays(tiny, np.zeros(1, dtype=dtype)).max_ulp == 1
    assert compare_arrays(tiny, -tiny).max_ulp == 2
    assert compare_arrays(np.zeros(1, dtype=dtype), -np.zeros(1, dtype=dtype)).max_ulp == 0


def test_ulp_distances_stop_at_the_largest_int64() -> None:
    big = np.array([np.finfo(np.float64).max])
    found = compare_arrays(big, -big)
    assert (found.max_ulp, found.p99_ulp) == (2**63 - 1, 2**63 - 1)
    assert found.max_abs == metrics.LARGEST
    assert found.max_rel == 2.0 or found.max_rel <= metrics.LARGEST


@given(pairs(FLOATS + UNSIGNED), st.sampled_from([None, (0.0, 0.0), (1e-2, 1e-3)]))
def test_floats_agree_with_the_definition(
    pair: tuple[np.ndarray, np.ndarray], limits: tuple[float, float] | None
) -> None:
    b, c = pair
    check(compare_arrays(b, c, limits=limits), naive(b, c, limits))


@given(pairs(INTS), st.sampled_from([None, (0.0, 0.0), (1.0, 0.0)]))
def test_integers_agree_with_the_definition(
    pair: tuple[np.ndarray, np.ndarray], limits: tuple[float, float] | None
) -> None:
    b, c = pair
    check(compare_arrays(b, c, limits=limits), naive(b, c, limits))


@given(pairs(FLOATS))
def test_every_number_can_be_written_as_json(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = compare_arrays(*pair)
    for value in (found.max_abs, found.mean_abs, found.max_rel, found.equal_fraction):
        assert math.isfinite(value)


@given(pairs(FLOATS))
def test_sides_change_places(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = compare_arrays(*pair), compare_arrays(*pair[::-1])
    assert (one.max_abs, one.max_ulp, one.p99_ulp) == (two.max_abs, two.max_ulp, two.p99_ulp)
    assert one.nonfinite_mismatches == two.nonfinite_mismatches
    assert one.equal_fraction == two.equal_fraction


@given(pairs(FLOATS + INTS))
def test_an_array_equals_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = compare_arrays(pair[0], pair[0].copy())
    assert found.bit_equal
    assert found.worst is None
    assert found.close_count == found.count
    assert (found.max_abs, found.mean_abs, found.max_rel) == (0.0, 0.0, 0.0)


@given(pairs(["float32"]), st.integers(1, 9))
def test_chunks_do_not_show(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    whole = compare_arrays(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "PIECE", size)
        patch.setattr(metrics, "BLOCK", 2 * size)
        check(compare_arrays(*pair), whole)


LIMITS = [None, (0.0, 0.0), (0.0, 1e-3), (1e-5, 1e-3), (1e-5, 2.0**-10), (1e-30, 0.0), (0.5, 1.0)]


@settings(deadline=None)
@given(
    st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    st.sampled_from(LIMITS),
    st.integers(-20, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 200]),
)
def test_neighbours_in_many_pieces_agree_with_the_definition(
    name: str, limits: tuple[float, float] | None, scale: int, seed: int, most: int
) -> None:
    """Numbers a few ULPs apart: where the largest ratio is settled, pieces are done in short."""
    rng, dtype = np.random.default_rng(seed), dtype_of(name)
    b = (rng.standard_normal(60) * 2.0**scale).astype(dtype)
    c = b.copy()
    c.view(f"i{dtype.itemsize}")[...] += rng.integers(0, most + 1, 60).astype(f"i{dtype.itemsize}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "PIECE", 7)
        check(compare_arrays(b, c, limits=limits), naive(b, c, limits))


def test_every_float16_is_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wide, finite = blocks._widened(every), np.isfinite(every)
    assert wide[finite].tobytes() == every[finite].astype(np.float32).tobytes()
    assert np.isfinite(wide).all()
    assert np.abs(wide[~finite]).min() >= 2.0**16 > np.abs(wide[finite]).max()


@pytest.mark.parametrize("name", FLOATS + INTS)
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_many_elements_are_measured_like_few(name: str, share: float) -> None:
    """Several blocks and pieces, some with nothing but numbers, some with NaN and infinities."""
    rng = np.random.default_rng(3)
    dtype = dtype_of(name)
    b = rng.integers(0, 256, 1000 * dtype.itemsize, dtype=np.uint8).view(dtype)
    b[:500] = rng.integers(1, 60, 500).astype(dtype)
    c = b.copy()
    c.view(f"u{dtype.itemsize}")[rng.random(1000) < share] ^= 1
    limits = (0.0, 1e-3) if name in FLOATS else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "PIECE", 16)
        patch.setattr(metrics, "PIECE", 16)
        patch.setattr(metrics, "BLOCK", 100)
        check(compare_arrays(b, c, limits=limits), naive(b, c, limits))


@pytest.mark.parametrize("scale", [1e-7, 1e-6, 1e-5, 1e-3, 1.0])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_p99_is_found_in_any_place(name: str, scale: float) -> None:
    rng = np.random.default_rng(4)
    b = rng.standard_normal(1000).astype(name)
    c = (b + scale * rng.standard_normal(1000)).astype(name)
    check(compare_arrays(b, c, limits=(0.0, 1e-6)), naive(b, c, (0.0, 1e-6)))


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=300))
def test_p99_is_the_distance_of_its_rank(distances: list[int]) -> None:
    b = np.zeros(len(distances))
    c = np.array(distances, dtype=np.int64).view(np.float64)
    rank = math.ceil(99 * len(distances) / 100)
    assert compare_arrays(b, c).p99_ulp == sorted(distances)[rank - 1]


def test_complex_is_taken_by_component() -> None:
    b = np.array([[1 + 1j, 2 + 2j]], dtype=np.complex64)
    c = np.array([[1 + 1j, 2 + 5j]], dtype=np.complex64)
    found = compare_arrays(b, c)
    assert (found.count, found.equal_fraction, found.max_abs, found.mean_abs) == (4, 0.75, 3, 0.75)
    assert found.worst == Worst(index=(0, 1, 1), baseline="2.0", candidate="5.0")


def test_bools_differ_by_one() -> None:
    found = compare_arrays(np.array([True, False]), np.array([True, True]))
    assert (found.max_abs, found.max_ulp, found.equal_fraction) == (1.0, None, 0.5)
    assert found.worst == Worst(index=(1,), baseline="False", candidate="True")


def test_a_nonfinite_mismatch_is_worse_than_any_difference() -> None:
    b = np.array([0.0, 1.0, np.nan, np.inf, np.inf], dtype=np.float32)
    c = np.array([9e9, 1.0, np.nan, np.inf, -np.inf], dtype=np.float32)
    found = compare_arrays(b, c, limits=(1.0, 0.0))
    assert found.nonfinite_mismatches == 1
    assert found.close_count == 3
    assert found.worst == Worst(index=(4,), baseline="inf", candidate="-inf")


def test_minus_zero_differs_in_bits_only() -> None:
    found = compare_arrays(np.array(0.0), np.array(-0.0), limits=(0.0, 0.0))
    assert not found.bit_equal
    assert (found.max_abs, found.max_ulp, found.close_count) == (0.0, 0, 1)
    assert found.worst == Worst(index=(), baseline="0.0", candidate="-0.0")
    assert compare_arrays(np.array(0.0), np.array(-0.0)).close_count == 0


def test_nan_payloads_differ_in_bits_only() -> None:
    b = np.array([0x7FC00000], dtype=np.uint32).view(np.float32)
    c = np.array([0x7FC00001], dtype=np.uint32).view(np.float32)
    found = compare_arrays(b, c, limits=(0.0, 0.0))
    assert (found.bit_equal, found.close_count, found.nonfinite_mismatches) == (False, 1, 0)
    assert found.worst == Worst(index=(0,), baseline="nan", candidate="nan")


def test_shapes_and_dtypes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"float32\[2\] with float32\[3\]"):
        compare_arrays(np.zeros(2, np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"float32.* with float64"):
        compare_arrays(np.zeros(2, np.float32), np.zeros(2, np.float64))
    with pytest.raises(TypeError, match="not a number type"):
        compare_arrays(np.array(["a"]), np.array(["a"]))


def check(found: Metrics, expected: Metrics) -> None:
    assert found.mean_abs == pytest.approx(expected.mean_abs, rel=1e-12)
    for name in Metrics.__slots__:
        if name != "mean_abs":
            assert getattr(found, name) == getattr(expected, name), name


def naive(b: np.ndarray, c: np.ndarray, limits: tuple[float, float] | None) -> Metrics:
    """The definition, one pair at a time, in Python's own numbers."""
    floating = b.dtype.kind not in "iu"
    rows = [_row(x, y, limits, floating) for x, y in zip(b.flat, c.flat, strict=True)]
    finite = [row for row in rows if row["d"] is not None]
    ulps = sorted(row["ulp"] for row in finite)
    rank = math.ceil(99 * len(ulps) / 100)
    worst = max(range(len(rows)), key=lambda i: (rows[i]["score"], -i), default=None)
    if worst is not None and not any(not row["equal"] for row in rows):
        worst = None
    return Metrics(
        count=len(rows),
        bit_equal=all(row["equal"] for row in rows),
        equal_fraction=sum(row["equal"] for row in rows) / len(rows) if rows else 1.0,
        max_abs=max((row["d"] for row in finite), default=0.0),
        mean_abs=min(sum(row["d"] for row in finite) / len(finite), metrics.LARGEST)
        if finite
        else 0.0,
        max_rel=max((row["rel"] for row in finite if row["rel"] is not None), default=0.0),
        max_ulp=(ulps[-1] if ulps else 0) if floating else None,
        p99_ulp=(ulps[rank - 1] if ulps else 0) if floating else None,
        close_count=sum(row["close"] for row in rows),
        nonfinite_mismatches=sum(row["score"][0] == 2 for row in rows),
        worst=None
        if worst is None
        else Worst(
            index=tuple(int(i) for i in np.unravel_index(worst, b.shape)) if b.shape else (),
            baseline=rows[worst]["texts"][0],
            candidate=rows[worst]["texts"][1],
        ),
    )


def _row(x: Any, y: Any, limits: tuple[float, float] | None, floating: bool) -> dict[str, Any]:
    equal = x.tobytes() == y.tobytes()
    fx, fy = (float(x), float(y)) if floating else (int(x), int(y))
    if math.isfinite(fx) and math.isfinite(fy):
        d = min(float(abs(fx - fy)), metrics.LARGEST)
        rel = None if fx == 0 else min(_ratio(d, abs(float(fx))), metrics.LARGEST)
        close = equal if limits is None else d <= limits[0] + limits[1] * abs(float(fx))
        score = (1, d) if d else (0, float(not equal))
        ulp = min(abs(_key(x) - _key(y)), 2**63 - 1) if floating else 0
    else:
        d = rel = None
        ulp = 0
        same = (math.isnan(fx) and math.isnan(fy)) or fx == fy
        close = equal if limits is None else same
        score = (0, float(not equal)) if same else (2, 0.0)
    return {
        "equal": equal,
        "d": d,
        "rel": rel,
        "ulp": ulp,
        "close": close,
        "score": score,
        "texts": (repr(fx), repr(fy)),
    }


def _ratio(d: float, size: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float64(d) / np.float64(size))


def _key(x: Any) -> int:
    raw = int.from_bytes(x.tobytes(), "little")
    if x.dtype == ml_dtypes.float8_e8m0fnu:
        return raw
    sign = 1 << (8 * x.dtype.itemsize - 1)
    return -(raw - sign) if raw & sign else raw
