"""Histories and bisections as people and machines read them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator, ValidationError
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from forkpoint.bisect import (
    Bisection,
    Change,
    Diagnosis,
    History,
    Row,
    RowChange,
    Step,
    Tried,
)
from forkpoint.model import Metrics, Oracle, Origin
from forkpoint.report import history as show
from forkpoint.report.history_page import history_to_html
from forkpoint.report.schema import BISECT_FILE_NAME, HISTORY_FILE_NAME, schema_text, shipped_schema

NORM = "aten.native_layer_norm.default"
SIGNATURE = f"{NORM}(float32[5,384]{{384,1}}, [384], 1e-05)"
MACHINE = {"processor": "A processor", "processors": "2"}
METRICS = Metrics(
    count=1920, bit_equal=False, equal_fraction=0.84, max_abs=4.8e-7, mean_abs=1e-8, max_rel=1e-3,
    max_ulp=68, p99_ulp=1, close_count=1920, nonfinite_mismatches=0, worst=None,
)  # fmt: skip
DIAGNOSIS = Diagnosis(
    axis="",
    explanation=("Only `native_layer_norm` (fp32) differs by itself.",),
    origins=(
        Origin(
            op=NORM, signature=SIGNATURE, modules=("1",), shapes=((5, 384),), steps=(0,),
            metrics=METRICS, dtypes=("float32",), calls=1, confirmed="replay",
            oracle=Oracle(baseline_max_ulp=0.61, candidate_max_ulp=0.55, nearer="candidate"),
        ),
    ),
    folder="forkpoint-results/s",
)  # fmt: skip


def row(name: str, cells: tuple[str | None, ...], **more: object) -> Row:
    fields = {"op": "", "dtype": "", "shapes": (), "axis": "", "inputs": 1, **more}
    return Row(name=name, cells=cells, **fields)  # type: ignore[arg-type]


def calls() -> History:
    """The catalogue at two axis values: a release that failed, a gap, a change taken back."""
    normal = {"op": NORM, "dtype": "float32", "shapes": ((2, 3),), "inputs": 4}
    return History(
        package="torch",
        subject="the catalogue",
        machine=MACHINE,
        releases=(
            Tried(version="2.8.0", state="measured", lock=("torch==2.8.0",)),
            Tried(version="2.9.0", state="skipped", reason="no wheel for Python 3.11"),
            Tried(version="2.9.1", state="measured", failures={"threads=2": "it hung"}),
            Tried(version="2.10.0", state="measured"),
        ),
        rows=(
            row("norm", ("a", None, "b", "a"), axis="threads=1", **normal),
            row("norm", ("a", None, None, "b"), axis="threads=2", **normal),
        ),
        changes=(
            Change(
                before="2.8.0",
                after="2.9.1",
                compared=1,
                rows=(RowChange(name="norm", axis="threads=1", inputs=4, differing=2, own=2),),
            ),
            Change(
                before="2.9.1",
                after="2.10.0",
                compared=2,
                appeared=("norm",),
                rows=(
                    RowChange(
                        name="norm", axis="threads=1", inputs=4, differing=2, own=2,
                        max_abs=1e-6, max_ulp=3, before_ulp=0.5, after_ulp=0.7, nearer="before",
                        returns_to="2.8.0",
                    ),
                    RowChange(
                        name="norm", axis="threads=2", inputs=4, differing=4, own=4, since="2.8.0"
                    ),
                ),
            ),
        ),
    )  # fmt: skip


def script(*diagnoses: Diagnosis, own: int | None = 1) -> History:
    """A script of one norm: the op differs by itself, its module and the next op pass it on."""
    changed = (
        RowChange(name="step 0 1", axis="", inputs=1, differing=1),
        RowChange(name=SIGNATURE, axis="", inputs=1, differing=1, own=own),
        RowChange(name="aten.gelu.default(float32[5,384])", axis="", inputs=1, differing=1, own=0),
    )
    ops = {"op": NORM, "dtype": "float32"}
    return History(
        package="torch",
        subject="s.py",
        machine=MACHINE,
        releases=tuple(Tried(version=one, state="measured") for one in ("2.9.1", "2.10.0")),
        rows=(
            row("step 0 1", ("a", "b")),
            row(SIGNATURE, ("a", "b"), **ops),
            row("aten.gelu.default(float32[5,384])", ("a", "b"), op="aten.gelu.default"),
        ),
        changes=(
            Change(before="2.9.1", after="2.10.0", compared=3, rows=changed, diagnoses=diagnoses),
        ),
    )


def bisection(*diagnoses: Diagnosis) -> Bisection:
    return Bisection(
        package="torch",
        subject="s.py",
        good="2.7.1",
        bad="2.15.0",
        last_good="2.9.1",
        first_bad="2.10.0",
        skipped=(),
        steps=(
            Step(version="2.7.1", state="good"),
            Step(version="2.9.1", state="good", source="recorded"),
            Step(version="2.12.1", state="skipped", reason="no wheel"),
            Step(version="2.11.0", state="bad", source="known"),
            Step(version="2.10.0", state="bad"),
        ),
        builds=2,
        changed=script().changes[0].rows,
        machine=MACHINE,
        assumption="It assumes one change.",
        notes=("torch 2.15.0 was not looked at.",),
        diagnoses=diagnoses,
        seconds=12.3,
    )


HISTORIES = {
    "calls": calls(),
    "script": script(),
    "script, diagnosed": script(DIAGNOSIS),
    "script, axes that agree": script(
        replace(DIAGNOSIS, axis="threads=1"), replace(DIAGNOSIS, axis="threads=2", folder="")
    ),
    "script, no op known": script(own=0),
    "script, failed diagnosis": script(Diagnosis(axis="threads=1", failure="it crashed")),
}


def on_terminal(found: History | Bisection) -> str:
    console = Console(file=io.StringIO(), width=120)
    render = show.render if isinstance(found, History) else show.render_bisection
    render(found, console)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str, snapshot: SnapshotAssertion) -> None:
    assert on_terminal(HISTORIES[name]) == snapshot(name="terminal")
    assert show.to_markdown(HISTORIES[name]) == snapshot(name="markdown")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({}, "an unknown processor"),
        ({"processor": "", "processors": "1"}, "an unknown processor, 1 processor"),
        (
            {
                "processor": "AMD EPYC", "family": "25 17 1", "features": "fpu avx avx2 avx512f",
                "processors": "2", "libc": "glibc 2.36",
            },
            "AMD EPYC (family 25, model 17, AVX-512), 2 processors, glibc 2.36",
        ),
        (
            {"processor": "Xeon", "family": "6 167 1", "features": "avx2 avx512f amx_tile"},
            "Xeon (family 6, model 167, AVX-512, AMX)",
        ),
        ({"processor": "AMD EPYC", "features": "avx2 fma avx"}, "AMD EPYC (AVX2)"),
    ],
)  # fmt: skip
def test_a_machine_is_told_from_its_like(machine: dict[str, str], words: str) -> None:
    assert show.machine_words(machine) == words


@pytest.mark.parametrize("diagnoses", [(), (DIAGNOSIS,)])
def test_bisection(diagnoses: tuple[Diagnosis, ...], snapshot: SnapshotAssertion) -> None:
    assert on_terminal(bisection(*diagnoses)) == snapshot
    assert show.bisection_to_markdown(bisection(*diagnoses)) == snapshot(name="markdown")


def test_ops_of_one_release_only_are_named() -> None:
    gone = ("step 0 attention", "aten.bmm.default(float32[1,2,3])", "aten.add.Tensor(float32[1])")
    new = ("aten._fused.default(float32[1,2])", "aten.add.Tensor(float32[2])")
    told = [
        "in 2.10.0 the script makes new calls of aten::_fused",
        "in 2.10.0 the script makes no longer some calls of aten::bmm",
    ]
    change = replace(script().changes[0], appeared=new, vanished=gone)
    lines = on_terminal(replace(script(), changes=(change,))).splitlines()
    assert [line.strip() for line in lines if "the script" in line] == told
    lines = on_terminal(replace(bisection(), appeared=new, vanished=gone)).splitlines()
    assert [line.strip() for line in lines if "the script" in line] == told


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_follows_the_shipped_schema_and_reads_back(name: str) -> None:
    data = show.to_json(HISTORIES[name])
    Draft202012Validator(json.loads(shipped_schema(HISTORY_FILE_NAME))).validate(json.loads(data))
    assert show.from_json(data) == HISTORIES[name]


def test_a_bisection_follows_the_shipped_schema() -> None:
    data = json.loads(show.to_json(bisection(DIAGNOSIS)))
    schema = Draft202012Validator(json.loads(shipped_schema(BISECT_FILE_NAME)))
    schema.validate(data)
    with pytest.raises(ValidationError):
        schema.validate({**data, "schema": "forkpoint.bisect/2"})
    with pytest.raises(ValidationError):
        schema.validate({key: value for key, value in data.items() if key != "first_bad"})


@pytest.mark.parametrize("name", [HISTORY_FILE_NAME, BISECT_FILE_NAME])
def test_the_shipped_schemas_are_up_to_date(name: str) -> None:
    assert shipped_schema(name) == schema_text(name), "run: python -m forkpoint.report.schema"
    Draft202012Validator.check_schema(json.loads(schema_text(name)))


def test_the_page_says_what_the_terminal_says() -> None:
    page = history_to_html(script(DIAGNOSIS))
    assert "Only <code>native_layer_norm</code> (fp32) differs by itself." in page
    assert "2.9.1 → 2.10.0: 3 of 3 rows changed" in page
    assert "<td>0.61 and 0.55</td>" in page


def test_names_of_a_script_are_text_and_no_markup() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    found = replace(script(), subject=evil, rows=(row(evil, ("a", "b")),), changes=())
    assert "<img" not in history_to_html(found)
