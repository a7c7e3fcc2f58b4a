"""The crop experiment: what it chooses, what it concludes, and a planted length in real runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forkpoint import Options, compare
from forkpoint.audit import Varied
from forkpoint.diagnose.experiments.crop import (
    Agreement,
    Cut,
    agreements,
    choose,
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
    modules = tuple((f"m{i}", (digest,)) for i, digest in enumerate(digests))
    return Varied(step=step, variant=variant, inputs=("x",), modules=modules, reason=reason)


def test_sides_are_matched_by_step_and_variant() -> None:
    baseline = varied(0, "a", "1", "2"), varied(0, "b", "1"), varied(1, "a", "1")
    candidate = varied(1, "a", "1", "2"), varied(0, "a", "1", "3")
    assert list(agreements(baseline, candidate)) == [
        Agreement(0, "a", 2, "m1"),
        Agreement(0, "b", 1, None, "it was not tried in both"),
        Agreement(1, "a", 1, None, "other modules ran"),
    ]


AGREES, DIFFERS = Agreement(0, "a", 1, None), Agreement(0, "b", 1, "m0")
UNTRIED = Agreement(1, "a", 0, None, "why")


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
    assert outcome(found) is expected


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
    agree = "all 3 module calls agree" in experiment.evidence
    assert agree == (planted == "length")
    assert ("first in second" in experiment.evidence) == (planted == "value")


@pytest.mark.parametrize(("text", "parsed"), [("dim=1:70", (1, 0, 70)), ("dim=0:2:9", (0, 2, 9))])
def test_a_crop_is_read(text: str, parsed: tuple[int, int, int]) -> None:
    assert parse_crop(text) == parsed


@pytest.mark.parametrize("text", ["1:70", "dim=1", "dim=1:0", "dim=1:9:9", "dim=-1:70", ""])
def test_what_is_no_crop_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="does not say what to crop") as caught:
        parse_crop(text)
    assert "dim=1:70" in caught.value.hint
