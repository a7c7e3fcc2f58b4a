"""Faults of many kinds in one script: all that decides is told of each, and nothing else."""

from __future__ import annotations

import pytest

from forkpoint.model import Origin, Outcome
from tests.diagnose.faulty import Faulty

pytestmark = pytest.mark.integration

SIZES = "product+many+taller+either"
ARGUMENTS = "dim+kernel+three+keep"
LAYOUTS = "gaps+shifted+steep+first"


def _origin(faulty: Faulty, faults: str, op: str) -> Origin:
    found = faulty(faults, script="zoo.py")
    assert len(found.origins) == len(faults.split("+"))
    (origin,) = (one for one in found.origins if one.op.split(".")[1] == op)
    assert origin.confirmed == "replay"
    return origin


@pytest.mark.parametrize(
    ("faults", "op", "rule"),
    [
        (
            SIZES,
            "native_layer_norm",
            "at multiples of 3 of the product of dimension 0 of input and dimension 1 of input",
        ),
        (
            SIZES,
            "silu",
            "from size 21 on of the product of dimension 0 of self and dimension 1 of self",
        ),
        (SIZES, "mm", "where dimension 0 of self is larger than dimension 1 of mat2"),
        (
            SIZES,
            "gelu",
            "from size 6 on of dimension 0 of self or at even sizes of dimension 1 of self",
        ),
        (ARGUMENTS, "_softmax", "at every size tried, with dim=1 and not 0, 2 or -2"),
        (ARGUMENTS, "max_pool2d_with_indices", "at every size tried, with kernel_size=[3, 2] and"),
        (ARGUMENTS, "_foreach_sigmoid", "at every size tried, with len(self)=3 and not 1, 2 or 4"),
        (ARGUMENTS, "mean", "at every size tried, with keepdim=True and not False"),
        (
            LAYOUTS,
            "exp",
            "at every size tried, with self as recorded or transposed in memory and not contiguous",
        ),
        (
            LAYOUTS,
            "sin",
            "at every size tried, with self as recorded or offset by one in memory and not",
        ),
        (LAYOUTS, "leaky_relu", "at every size tried, with negative_slope=0.2, 0.4, 20 or 1 and"),
    ],
)
def test_what_decides_is_told(faulty: Faulty, faults: str, op: str, rule: str) -> None:
    origin = _origin(faulty, faults, op)
    assert origin.rule is not None, [(one.dimension, one.note) for one in origin.sweeps]
    assert origin.rule.startswith(rule)
    sentences = faulty(faults, script="zoo.py").explanation
    assert faults == LAYOUTS or any(origin.rule in sentence for sentence in sentences)


def test_values_are_blamed_where_they_decide(faulty: Faulty) -> None:
    origin = _origin(faulty, LAYOUTS, "cos")
    assert origin.rule is None
    assert all("values decide" in one.note for one in origin.sweeps if "dimension" in one.dimension)


@pytest.mark.parametrize("faults", [SIZES, ARGUMENTS, LAYOUTS])
def test_the_origins_are_the_whole_cause(faulty: Faulty, faults: str) -> None:
    found = faulty(faults, script="zoo.py")
    sufficiency = next(one for one in found.experiments if one.name == "sufficiency")
    assert sufficiency.outcome is Outcome.SUPPORTED, sufficiency.evidence


def test_tensors_of_a_list_are_called_by_its_name(faulty: Faulty) -> None:
    """Of an op that computes: one like cat, which puts values elsewhere, is no origin."""
    origin = _origin(faulty, ARGUMENTS, "_foreach_sigmoid")
    assert any("self[0]" in one.dimension for one in origin.sweeps)
    assert not any("tensor 0" in one.dimension for one in origin.sweeps)
