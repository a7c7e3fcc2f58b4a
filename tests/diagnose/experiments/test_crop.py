"""The crop experiment: what it chooses, what it concludes, and a planted length in real runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forkpoint import Options, compare
from forkpoint.audit import UNCHANGED, Varied
from forkpoint.diagnose.experiments.crop import (
    Agreement,
    Cut,
    agreements,
    choose,
    controlled,
    outcome,
    parse_crop,
)
from forkpoint.errors import UsageError
from forkpoint.host import Workload
from forkpoint.model import Outcome, Step, StepInput, Verdict
from tests.conftest import TorchEnv


def step(index: int, *shape: int, differs: bool = False) -> Step:
    return Step(
        index=index,
        module="Net",
        inputs=(StepInput(name="x", shape=shape, dtype="float32", equal=True),),
        verdict=Verdict.DIVERGENT if differs else Verdict.IDENTICAL,
        fork=None,
        outputs=(),
    )


def chosen(*steps: Step, asked: tuple[int, int, int] | None = None) -> Cut | None:
    return choose(steps, [one for one in steps if one.verdict is Verdict.DIVERGENT], asked)


def test_sizes_that_agree_are_cropped_and_padded_to() -> None:
    steps = step(0, 32, 70), step(1, 32, 77, differs=True), step(2, 32, 96)
    assert chosen(*steps) == Cut(1, ((0, 70),), (96,))


def test_where_no_size_agrees_some_are_guessed() -> None:
    steps = step(0, 32, 77, differs=True), step(1, 32, 61, differs=True)
    assert chosen(*steps) == Cut(1, ((0, 32), (0, 56)))


def test_no_varying_dimension_is_no_crop_unless_asked_for() -> None:
    only = step(0, 32, 77, differs=True)
    assert chosen(only) is None
    assert chosen(only, asked=(1, 2, 70)) == Cut(1, ((2, 70),))


def varied(step: int, variant: str, *digests: str, reason: str | None = None) -> Varied:
    """Modules m0, m1, ..., the last one the root; a digest that begins with an op's name is its."""
    last = len(digests) - 1
    given = tuple(
        ("" if i == last else f"m{i}", digest.rpartition(":")[0], (digest.rpartition(":")[2],))
        for i, digest in enumerate(digests)
    )
    return Varied(step=step, variant=variant, inputs=("x",), given=given, reason=reason)


def test_sides_are_matched_by_step_and_variant() -> None:
    baseline = varied(0, "a", "1", "2"), varied(0, "b", "1"), varied(1, "a", "1")
    candidate = varied(1, "a", "1", "2"), varied(0, "a", "1", "3")
    assert list(agreements(baseline, candidate)) == [
        Agreement(0, "a", 2, 0, "the model itself"),
        Agreement(0, "b", 0, 0, None, "it was not tried in both"),
        Agreement(1, "a", 0, 0, None, "other modules ran"),
    ]


def test_ops_are_compared_and_where_other_ops_ran_modules_alone() -> None:
    one, two = varied(0, "a", "mm:1", "2"), varied(0, "a", "mm:9", "2")
    assert list(agreements([one], [two])) == [Agreement(0, "a", 1, 1, "mm in m0")]
    other = varied(0, "a", "bmm:1", "2")
    assert list(agreements([one], [other])) == [Agreement(0, "a", 1, 0, None)]


AGREES, DIFFERS = Agreement(0, "a", 1, 1, None), Agreement(0, "b", 1, 1, "m0")
UNTRIED = Agreement(1, "a", 0, 0, None, "why")
CONTROL = replace(DIFFERS, variant=UNCHANGED)


def test_a_step_that_differs_with_its_own_inputs_is_told_of() -> None:
    assert controlled([CONTROL, AGREES, DIFFERS]) == [AGREES, DIFFERS]


def test_a_step_that_agrees_with_its_own_inputs_shows_nothing() -> None:
    (found,) = controlled([replace(AGREES, variant=UNCHANGED), AGREES])
    assert found.reason == "with its own inputs it agrees, too"
    (found,) = controlled([AGREES])
    assert found.reason is not None


def test_a_step_of_which_nothing_else_was_made_is_not_forgotten() -> None:
    found = controlled([CONTROL, AGREES, replace(CONTROL, step=4)])
    assert [one.step for one in found] == [0, 4]
    assert outcome(found, [0, 4]) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([AGREES, DIFFERS], Outcome.SUPPORTED),
        ([DIFFERS], Outcome.REFUTED),
        ([AGREES, replace(DIFFERS, step=1)], Outcome.INCONCLUSIVE),
        ([AGREES, UNTRIED], Outcome.INCONCLUSIVE),
        ([], Outcome.INCONCLUSIVE),
    ],
)
def test_outcomes(found: list[Agreement], expected: Outcome) -> None:
    assert outcome(found, sorted({0, *(one.step for one in found)})) is expected


def test_a_step_that_was_never_called_again_leaves_all_open() -> None:
    assert outcome([AGREES], [0, 5]) is Outcome.INCONCLUSIVE
    assert outcome([DIFFERS], [0, 5]) is Outcome.INCONCLUSIVE


def test_where_nothing_could_be_read_nothing_agrees() -> None:
    silent = replace(varied(0, "a", "1", "2"), given=(("m0", "", ("1",)), ("", "", ())))
    (found,) = agreements([silent], [silent])
    assert found.reason == "what it returned could not be read"


SCRIPT = """
import os, sys, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Tanh()
        self.second = Second()
    def forward(self, x):
        return self.second(self.first(x))
class Second(torch.nn.Module):
    def forward(self, x):
        by_length = sys.argv[1] == "length" and x.shape[1] > 70
        by_value = sys.argv[1] == "value" and bool(x[0, 0] > 0)
        return x * 2 + (os.environ["SIDE"] == "b" and (by_length or by_value))
torch.manual_seed(0)
net = Net().eval()
with torch.no_grad():
    for length in (70, 77):
        x = torch.randn(4, length)
        x[0, 0] = 1 if length == 77 else -1
        net(x)
"""


@pytest.mark.integration
@pytest.mark.parametrize(
    ("planted", "expected"), [("length", Outcome.SUPPORTED), ("value", Outcome.REFUTED)]
)
def test_a_difference_by_length_goes_with_the_length(
    planted: str, expected: Outcome, torch_env: TorchEnv, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(SCRIPT)
    workload = Workload(script=tmp_path / "net.py", argv=(planted,), cwd=tmp_path)
    sides = [
        replace(torch_env("2.10.0"), name=side, variables={"SIDE": side}) for side in ("a", "b")
    ]
    options = Options(out=tmp_path / "out", experiments=("crop",))
    comparison = compare(workload, sides, options=options)
    experiment = next(one for one in comparison.experiments if one.name == "crop")
    assert experiment.outcome is expected
    agree = "all 3 module calls and" in experiment.evidence
    assert agree == (planted == "length")
    assert "with their own inputs the steps differ again" in experiment.evidence
    assert ("first in aten.add.Tensor in second" in experiment.evidence) == (planted == "value")


@pytest.mark.parametrize(("text", "parsed"), [("dim=1:70", (1, 0, 70)), ("dim=0:2:9", (0, 2, 9))])
def test_a_crop_is_read(text: str, parsed: tuple[int, int, int]) -> None:
    assert parse_crop(text) == parsed


@pytest.mark.parametrize("text", ["1:70", "dim=1", "dim=1:0", "dim=1:9:9", "dim=-1:70", ""])
def test_what_is_no_crop_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="does not say what to crop") as caught:
        parse_crop(text)
    assert "dim=1:70" in caught.value.hint
