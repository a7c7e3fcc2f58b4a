"""One thread against two: what is said of sizes holds at 200 that nobody used to find it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from forkpoint import api
from forkpoint.diagnose import Dimension, dimensions
from forkpoint.diagnose.experiments.rules import fit
from forkpoint.diagnose.experiments.variants import Template, read_template
from forkpoint.environments import Environment, parse_spec
from forkpoint.host import Call, Workload, replay
from forkpoint.model import Comparison, Origin, Sweep, Verdict

pytestmark = pytest.mark.integration
SCRIPTS = {name: Path(__file__).parents[1] / f"{name}.py" for name in ("tokens", "minilm_tokens")}
SHAPES, MOST, INPUTS = 200, 700, 2

PLAIN = """
import runpy, sys, torch
torch.set_num_threads(int(sys.argv[1]))
for one in runpy.run_path(sys.argv[2])["results"]:
    print(hash(tuple(one.view(torch.int32).flatten().tolist())))
"""
"""The script without forkpoint: a line for the bits of each step's result."""


@dataclass(frozen=True)
class Made:
    """The comparison of a script, its folder, and the environment of both sides."""

    script: Path
    comparison: Comparison
    folder: Path
    environment: Environment

    @property
    def origins(self) -> list[Origin]:
        """Those that a sweep was made of."""
        return [origin for origin in self.comparison.origins if origin.sweeps]


@pytest.fixture(scope="module", params=list(SCRIPTS))
def made(
    request: pytest.FixtureRequest,
    torch_env: Callable[[str], Environment],
    demo_env: Callable[[str], Environment],
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    environment = torch_env("2.10.0") if request.param == "tokens" else demo_env("new")
    script, folder = SCRIPTS[request.param], tmp_path_factory.mktemp("threads")
    specs = [
        parse_spec(f"{name}=python={environment.python} threads={threads}")
        for name, threads in (("one", 1), ("two", 2))
    ]
    options = api.Options(out=folder / "out", experiments=("sweep",))
    finished = api.run_comparison(Workload(script=script, cwd=folder), specs, options=options)
    assert not finished.failures
    return Made(script, finished.comparison, folder / "out", environment)


def test_the_steps_that_fork_are_those_whose_bits_differ(made: Made) -> None:
    plain = [
        subprocess.run(
            [made.environment.python, "-c", PLAIN, threads, made.script],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for threads in ("1", "2")
    ]
    unequal = [one != two for one, two in zip(*plain, strict=True)]
    forks = [step.verdict is not Verdict.IDENTICAL for step in made.comparison.steps]
    assert forks == unequal


def test_each_rule_holds_at_sizes_not_used_to_find_it(made: Made) -> None:
    """A wrong prediction is a failure; where there is no rule, it is said why."""
    swept = [(origin, sweep) for origin in made.origins for sweep in _of_sizes(origin)]
    assert all(sweep.note for _, sweep in swept if sweep.rule is None)
    ruled = [(origin, sweep) for origin, sweep in swept if sweep.rule is not None]
    each = -(-SHAPES // max(1, len(ruled)))
    wrong = [text for origin, sweep in ruled for text in _wrong(made, origin, sweep, each)]
    assert not wrong


def test_a_rule_is_claimed_only_for_origins_with_one_for_every_size(made: Made) -> None:
    for origin in made.origins:
        unruled = [sweep for sweep in _of_sizes(origin) if sweep.rule is None]
        if unruled:
            assert origin.rule is None or "no simple rule" in origin.rule
        elif _of_sizes(origin):
            assert origin.rule is not None


def _of_sizes(origin: Origin) -> list[Sweep]:
    return [sweep for sweep in origin.sweeps if sweep.dimension.startswith("dimension")]


def _wrong(made: Made, origin: Origin, sweep: Sweep, count: int) -> Iterator[str]:
    """Fresh sizes at which the sides do not behave as the rule says."""
    rule = fit({point.size: point.differing > 0 for point in sweep.points})
    assert rule is not None
    assert rule.text == sweep.rule
    assert origin.capsule is not None
    capsule = made.folder / origin.capsule
    template = read_template(capsule)
    assert template is not None
    tried = {point.size for point in sweep.points}
    left = [size for size in range(1, MOST) if size not in tried]
    fresh = random.Random(0).sample(left, count)
    for size, differ in _differ(made, template, _dimension(template, sweep), fresh, capsule):
        if differ != {rule.holds(size)}:
            yield f"{sweep.dimension} {size}: {differ}, though it differs {rule.text}"


def _dimension(template: Template, sweep: Sweep) -> Dimension:
    ways = [way for ways in dimensions(template.call, ()) for way in ways]
    return next(way for way in ways if way.name == sweep.dimension)


def _differ(
    made: Made, template: Template, dimension: Dimension, sizes: list[int], capsule: Path
) -> Iterator[tuple[int, set[bool]]]:
    calls = [
        Call(
            id=f"{size}/{seed}", capsule=capsule, call=template.sized({dimension: size}, 900 + seed)
        )
        for size in sizes
        for seed in range(INPUTS)
    ]
    one, two = (
        replay(
            made.environment.altered(settings={"threads": threads}),
            calls,
            control=made.folder / f"fresh-{threads}",
        )
        for threads in ("1", "2")
    )
    for size in sizes:
        names = [f"{size}/{seed}" for seed in range(INPUTS)]
        assert all(answer[name].status == "ran" for name in names for answer in (one, two))
        yield size, {one[name].digests != two[name].digests for name in names}
