"""What is said of an op, for faults of many kinds: what decides, all of it, and nothing else."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.diagnose.experiments.simulated import Fault, Op, Seen, View, swept, view

T0, T1 = {"tensor": 0}, {"tensor": 1}
UNARY = "aten::op(Tensor self) -> Tensor"


def _matching(seen: Seen) -> bool:
    return seen.tensors[0].shape[1] == seen.tensors[1].shape[0]


def _axis(seen: Seen) -> bool:
    rank = len(seen.x.shape)
    return -rank <= seen.args[1] < rank


def _pooled(seen: Seen) -> bool:
    kernel, stride = seen.args[1:3]
    fits = all(k <= n for k, n in zip(kernel, seen.x.shape[-2:], strict=True))
    return fits and min(kernel) > 0 and min(stride) > 0


FLAT = Op(UNARY, (view(6, 10),), (T0,))
DEEP = Op(UNARY, (view(3, 4, 8),), (T0,))
TURNED = Op(UNARY, (view(3, 8, 5, stride=(40, 1, 8)),), (T0,))
GAPS = Op(UNARY, (view(4, 6, stride=(18, 1), offset=3),), (T0,))
PRODUCT = Op(
    "aten::mm(Tensor self, Tensor mat2) -> Tensor", (view(10, 6), view(6, 4)), (T0, T1), _matching
)
SOFTMAX = Op(
    "aten::_softmax(Tensor self, int dim, bool half) -> Tensor",
    (view(2, 5, 8),),
    (T0, {"int": 1}, {"bool": False}),
    _axis,
)
POOL = Op(
    "aten::pool(Tensor self, int[2] kernel_size, int[2] stride=[]) -> Tensor",
    (view(2, 3, 9, 9),),
    (T0, *({"list": [{"int": 3}, {"int": 3}]}, {"list": [{"int": 2}, {"int": 2}]})),
    _pooled,
)
SLOPE = Op(
    "aten::leaky(Tensor self, float slope=0.01) -> Tensor",
    (view(5, 7),),
    (T0, {"float": (0.2).hex()}),
)
JOINED = Op(
    "aten::cat(Tensor[] tensors, int dim=0) -> Tensor",
    (view(2, 6), view(2, 6), view(2, 6)),
    ({"list": [{"tensor": 0}, {"tensor": 1}, {"tensor": 2}]}, {"int": 1}),
    lambda seen: len({one.shape[0] for one in seen.args[0]}) == 1 and -2 <= seen.args[1] < 2,
)


def _random(seen: Seen, share: int) -> bool:
    """Whether the values, which nothing but their seed stands for, are among some of all."""
    one: View = seen.x
    return zlib.crc32(repr((one.seed, one.shape)).encode()) % 100 < share


RULES: list[tuple[str, Op, Fault, str]] = [
    ("always", FLAT, lambda s: True, "at every size tried"),
    (
        "rows",
        FLAT,
        lambda s: s.x.shape[0] % 3 == 0,
        "at multiples of 3 of dimension 0 of self and at every size tried of the others",
    ),
    (
        "bounds",
        FLAT,
        lambda s: s.x.shape[0] >= 5 and s.x.shape[1] < 70,
        "from size 5 on of dimension 0 of self and below size 70 of dimension 1 of self",
    ),
    (
        "product",
        DEEP,
        lambda s: s.x.shape[0] * s.x.shape[1] % 3 == 0,
        "at multiples of 3 of the product of dimension 0 of self and dimension 1 of self",
    ),
    (
        "elements",
        FLAT,
        lambda s: s.x.numel > 40,
        "from size 41 on of the product of dimension 0 of self and dimension 1 of self",
    ),
    (
        "all elements",
        DEEP,
        lambda s: s.x.numel >= 90,
        "from size 90 on of the product of dimension 0 of self, dimension 1 of self and "
        "dimension 2 of self",
    ),
    (
        "taller",
        PRODUCT,
        lambda s: s.tensors[0].shape[0] > s.tensors[1].shape[1],
        "where dimension 0 of self is larger than dimension 1 of mat2",
    ),
    (
        "either",
        FLAT,
        lambda s: s.x.shape[0] >= 9 or s.x.shape[1] % 2 == 0,
        "from size 9 on of dimension 0 of self or at even sizes of dimension 1 of self",
    ),
    (
        "neither product nor comparison",
        FLAT,
        lambda s: s.x.shape[0] ** 2 + 3 * s.x.shape[1] >= 50,
        "from size 5 on of dimension 0 of self and from size 5 on of dimension 1 of self, with the "
        "other sizes as recorded",
    ),
    (
        "dim",
        SOFTMAX,
        lambda s: s.args[1] == 1,
        "at every size tried, with dim=1 and not 0, 2 or -2",
    ),
    (
        "switch",
        SOFTMAX,
        lambda s: not s.args[2],
        "at every size tried, with half=False and not True",
    ),
    (
        "dim and size",
        SOFTMAX,
        lambda s: s.args[1] in (1, -2) and s.x.shape[2] >= 4,
        "from size 4 on of dimension 2 of self and at every size tried of the others, "
        "with dim=1 or -2 and not 0 or 2",
    ),
    (
        "kernel",
        POOL,
        lambda s: s.args[1] == [3, 3],
        "at every size tried, with kernel_size=[3, 3] and not [4, 4], [2, 2], [5, 5], [6, 6], "
        "[4, 3] or [3, 4]",
    ),
    (
        "stride",
        POOL,
        lambda s: s.args[2][1] == 2,
        "at every size tried, with stride=[2, 2] or [3, 2] and not [3, 3], [1, 1], [4, 4] or "
        "[2, 3]",
    ),
    (
        "slope",
        SLOPE,
        lambda s: s.args[1] > 0.15,
        "at every size tried, with slope=0.2, 0.4, 20 or 1 and not 0.1 or 0",
    ),
    (
        "three",
        JOINED,
        lambda s: len(s.args[0]) == 3,
        "at every size tried, with len(tensors)=3 and not 1, 2 or 4",
    ),
    (
        "dtype",
        FLAT,
        lambda s: s.x.dtype in ("float32", "float64"),
        "at every size tried, with float32 or float64 and not bfloat16 or float16",
    ),
    (
        "not contiguous",
        TURNED,
        lambda s: not s.x.contiguous,
        "at every size tried, with self as recorded or transposed in memory and not contiguous, "
        "offset by one or not aligned",
    ),
    (
        "offset",
        GAPS,
        lambda s: s.x.offset % 2 == 1,
        "at every size tried, with self as recorded or offset by one in memory and not contiguous, "
        "transposed or not aligned",
    ),
    (
        "alignment",
        GAPS,
        lambda s: s.x.alignment % 16 != 0,
        "at every size tried, with self as recorded or not aligned in memory and not contiguous, "
        "transposed or offset by one",
    ),
]


@pytest.mark.parametrize(("op", "fault", "rule"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_what_decides_is_told(op: Op, fault: Fault, rule: str, tmp_path: Path) -> None:
    found = swept(op, fault, tmp_path / "capsule")
    said = found.rule
    assert said is not None, [(one.dimension, one.note) for one in found.sweeps]
    assert said == rule


@pytest.mark.parametrize("share", [3, 20, 50, 97])
def test_values_that_decide_get_no_rule(share: int, tmp_path: Path) -> None:
    def fault(seen: Seen) -> bool:
        return seen.x.seed is None or _random(seen, share)

    found = swept(FLAT, fault, tmp_path / "capsule")
    assert found.rule is None
    assert any("values decide" in one.note for one in found.sweeps)


def test_recorded_values_alone_are_blamed_only_in_the_recorded_memory(tmp_path: Path) -> None:
    found = swept(GAPS, lambda s: s.x.seed is None, tmp_path / "capsule")
    assert found.rule is None
    notes = [one.note for one in found.sweeps if one.dimension.startswith("dimension")]
    assert notes
    assert all("in the same memory layout" in note for note in notes)


def test_values_that_decide_at_few_sizes_get_no_rule(tmp_path: Path) -> None:
    """At most sizes every input differs; at one that is drawn later, only some do."""

    def fault(seen: Seen) -> bool:
        return seen.x.shape[0] < 40 or _random(seen, 60)

    found = swept(FLAT, fault, tmp_path / "capsule")
    assert found.rule is None


def test_a_size_that_contradicts_is_asked_again_before_the_rule_changes(tmp_path: Path) -> None:
    """Beyond the sizes that are tried first, one input of ten differs: a fresh size shows it."""

    def fault(seen: Seen) -> bool:
        return seen.x.shape[1] < 300 and (seen.x.shape[1] < 200 or _random(seen, 90))

    found = swept(FLAT, fault, tmp_path / "capsule")
    assert found.rule is None


def test_noise_over_sizes_gets_no_rule(tmp_path: Path) -> None:
    def fault(seen: Seen) -> bool:
        shape = seen.x.shape
        return shape[0] == 6 or zlib.crc32(repr(shape[0]).encode()) % 2 == 0

    found = swept(FLAT, fault, tmp_path / "capsule")
    assert found.rule is None
    assert any("no simple rule" in one.note or "not confirmed" in one.note for one in found.sweeps)


def test_what_decides_is_told_beside_sizes_without_a_rule(tmp_path: Path) -> None:
    def fault(seen: Seen) -> bool:
        noise = seen.x.shape[0] == 2 or zlib.crc32(repr(seen.x.shape[0]).encode()) % 2 == 0
        return noise and seen.args[1] == 1

    found = swept(SOFTMAX, fault, tmp_path / "capsule")
    assert found.rule == "with dim=1 and not 0, 2 or -2; its sizes follow no simple rule"


def test_gaps_and_offsets_are_kept_at_every_size(tmp_path: Path) -> None:
    seen: list[View] = []

    def fault(call: Seen) -> bool:
        seen.append(call.x)
        return True

    swept(GAPS, fault, tmp_path / "capsule")
    odd = [one for one in seen if one.offset == 3]
    assert len(odd) > len(seen) * 3 / 4  # all but those whose layout is varied
    assert all(one.stride[0] == one.shape[1] + 12 for one in odd if one.shape[0] > 1)
