"""Histories and bisections of a real package, with real builds and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from forkpoint.bisect import (
    Answer,
    Bench,
    History,
    Looker,
    Results,
    Survey,
    find_change,
    list_by_python,
    list_releases,
    parse_constraint,
    read_axes,
    run_history,
    select,
)
from forkpoint.environments import Environment, find_interpreters
from forkpoint.errors import EnvironmentFailed, ScriptFailed, StorageFull, UsageError
from tests.support.disks import grow, small_disk

from .conftest import BITS, Printed, make_wheel

Make = Callable[..., Bench]


def measure(subject: Printed, bench: Bench, results: Results, which: str = "") -> History:
    releases = select(list_releases("tinyop"), which)
    survey = Survey(subject=subject, releases=releases)
    return run_history(survey, bench=bench, results=results, say=lambda _: None)


def test_every_change_is_seen_also_one_taken_back(
    wheels: Path, bench: Make, results: Results
) -> None:
    found = measure(Printed(), bench(), results)
    (row,) = found.rows
    assert row.cells == ("a", "a", "b", "a", "c")
    changed = [(one.before, one.after, one.rows[0].returns_to) for one in found.changes if one.rows]
    assert changed == [("1.1", "1.2", None), ("1.2", "1.3", "1.1"), ("1.3", "1.4", None)]


def test_nothing_is_built_or_measured_twice(wheels: Path, bench: Make, results: Results) -> None:
    first, subject, again = measure(Printed(), bench(), results), Printed(), bench()
    second = measure(subject, again, results)
    assert (subject.measured, again.builds) == ([], 0)
    assert all(one.cached for one in second.releases)
    assert second.rows == first.rows
    assert second.changes == first.changes


def test_what_does_not_run_or_build_is_skipped_and_said(
    wheels: Path, bench: Make, results: Results
) -> None:
    make_wheel(wheels, "1.2", "raise ImportError('no such thing yet')\n")
    make_wheel(wheels, "1.5", "", "cp38-cp38-win32")
    found = measure(Printed(), bench(), results)
    reasons = {one.version: one.reason for one in found.releases if one.state == "skipped"}
    assert set(reasons) == {"1.2", "1.5"}
    assert "no such thing yet" in str(reasons["1.2"])
    assert "no wheel" in str(reasons["1.5"])
    assert [(one.before, one.after) for one in found.changes][1] == ("1.1", "1.3")


def test_a_subject_that_fails_everywhere_is_said(
    wheels: Path, bench: Make, results: Results
) -> None:
    for version in BITS:
        make_wheel(wheels, version, "raise ImportError('broken')\n")
    with pytest.raises(EnvironmentFailed, match="could not be run in any") as caught:
        measure(Printed(), bench(), results)
    assert "1.0, 1.1, 1.2, 1.3, 1.4: tinyop-...: ImportError: broken" in caught.value.message


class Interrupted(Printed):
    """Ctrl-C, at one release."""

    def measure(self, environment: Environment, place: object, control: Path) -> dict[str, Answer]:
        if environment.name == "tinyop-1.2":
            signal.raise_signal(signal.SIGINT)
        return super().measure(environment, place, control)


def test_a_history_that_is_stopped_says_what_is_kept(
    wheels: Path, bench: Make, results: Results
) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        measure(Interrupted(), bench(), results)
    assert caught.value.__notes__ == [
        "2 of 5 environments are measured, and kept: the same command goes on with the one it "
        "was on."
    ]


def test_a_search_that_is_stopped_says_what_is_kept(
    wheels: Path, bench: Make, results: Results
) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        find(bench(), results, "1.1", "1.4", Interrupted())
    assert caught.value.__notes__ == [
        "Looked at so far, and kept: 1.1 good. The same command goes on from there."
    ]


def test_a_killed_run_loses_the_release_it_was_on(
    wheels: Path, bench: Make, results: Results, tmp_path: Path
) -> None:
    """The run kills itself by SIGKILL when it measures the third release."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from forkpoint.bisect import Bench, Results\n"
        "from forkpoint.environments import EnvironmentSpec\n"
        "from tests.bisect.conftest import Printed\n"
        "from tests.bisect.test_history import measure\n"
        "class Killed(Printed):\n"
        "    def measure(self, environment, place, control):\n"
        "        if environment.name == 'tinyop-1.2':\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().measure(environment, place, control)\n"
        "bench = Bench(package='tinyop', base=EnvironmentSpec(name='base'),\n"
        "              root=Path(sys.argv[1]), torch_backend='index')\n"
        "measure(Killed(), bench, Results(Path(sys.argv[2])))\n"
    )
    root = Path(__file__).parents[2]
    places = [str(tmp_path / "cache"), str(results.root)]
    path = os.pathsep.join([str(root / "src"), str(root)])
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code, *places], env=env, cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    subject = Printed()
    found = measure(subject, bench(), results)
    assert subject.measured[-3:] == ["tinyop-1.2", "tinyop-1.3", "tinyop-1.4"]
    assert "tinyop-1.0" not in subject.measured
    assert found.rows[0].cells == ("a", "a", "b", "a", "c")


def test_a_limit_holds_for_environments_and_packages(
    wheels: Path, bench: Make, results: Results
) -> None:
    limited = bench(max_bytes=10**6)
    assert measure(Printed(), limited, results).rows[0].cells == ("a", "a", "b", "a", "c")
    assert 0 < limited.room.peak < 10**6


def find(
    bench: Bench, results: Results, good: str, bad: str, subject: Printed | None = None
) -> object:
    subject = subject or Printed()
    between = select(list_releases("tinyop"), f">={good},<={bad}")
    looker = Looker(Survey(subject=subject, releases=()), bench=bench, results=results)
    return find_change(between, looker=looker, say=lambda _: None)


def test_bisect_names_the_release_and_what_it_skipped(
    wheels: Path, bench: Make, results: Results
) -> None:
    make_wheel(wheels, "1.2", "raise ImportError\n")
    make_wheel(wheels, "1.3", "VALUE = 'z'\n")
    found = find(bench(), results, "1.0", "1.4")
    assert (found.last_good, found.first_bad, found.skipped) == ("1.1", "1.3", ("1.2",))  # type: ignore[attr-defined]


def test_ends_with_the_same_bits_are_said(wheels: Path, bench: Make, results: Results) -> None:
    with pytest.raises(UsageError, match=r"same bits in tinyop 1\.0 and 1\.1"):
        find(bench(), results, "1.0", "1.1")


def test_a_search_goes_on_with_what_is_known(wheels: Path, bench: Make, results: Results) -> None:
    measure(Printed(), bench(), results, ">=1.2,<=1.3")
    make_wheel(wheels, "1.3", "VALUE = 'z'\n")
    made = bench()
    found = find(made, results, "1.0", "1.4")
    assert (found.last_good, found.first_bad, made.builds) == ("1.1", "1.2", 2)  # type: ignore[attr-defined]
    assert [step.source for step in found.steps].count("known") == 1  # type: ignore[attr-defined]


def test_a_constraint_holds_for_the_releases_it_names(bench: Make) -> None:
    made = bench()
    made.constraints = (parse_constraint("tinyop<1.2: numpy<2 packaging"),)
    versions = {str(one): one for one in map(_version, ("1.1", "1.2"))}
    assert made.spec(versions["1.1"]).requirements == ("tinyop==1.1", "numpy<2", "packaging")
    assert made.spec(versions["1.2"]).requirements == ("tinyop==1.2",)


@pytest.mark.parametrize("text", ["numpy<2", "torch<2.3:", "???: numpy", ": numpy"])
def test_a_constraint_that_is_none_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="--constraint"):
        parse_constraint(text)


def _version(text: str) -> object:
    from packaging.version import Version

    return Version(text)


def test_a_full_disk_ends_the_run_and_keeps_what_is_known(
    wheels: Path, bench: Make, tmp_path: Path
) -> None:
    make_wheel(wheels, "1.2", "VALUE = 'y'\n#" + "x" * 8_000_000)
    with small_disk(tmp_path / "disk", "4m") as disk:
        results = Results(disk / "results")
        with pytest.raises(StorageFull, match="the disk is full") as caught:
            measure(Printed(), bench(root=disk), results)
        assert "2 of 5 environments are measured, and kept" in caught.value.hint
        grow(disk, "60m")
        subject = Printed()
        found = measure(subject, bench(root=disk), results)
        assert subject.measured == ["tinyop-1.2", "tinyop-1.3", "tinyop-1.4"]
        assert found.rows[0].cells == ("a", "a", "b", "a", "c")


def test_results_that_cannot_be_kept_end_the_run(wheels: Path, bench: Make, tmp_path: Path) -> None:
    class Long(Printed):
        def measure(self, environment: Environment, place: object, control: Path) -> dict:
            found = super().measure(environment, place, control)
            return {**found, "padding": replace(found["value"], digests=("x" * 3_000_000,))}

    with small_disk(tmp_path / "disk", "1m") as disk:
        with pytest.raises(StorageFull, match="Results cannot be kept") as caught:
            measure(Long(), bench(), Results(disk / "results"))
        assert "0 of 5 environments are measured, and kept" in caught.value.hint


PYTHONS = ("3.10", "3.11")


@pytest.fixture
def both_pythons() -> None:
    there = {".".join(map(str, one.version[:2])) for one in find_interpreters()}
    if not there >= set(PYTHONS):
        pytest.skip("needs Python 3.10 and 3.11")


def by_python(subject: Printed, bench: Bench, results: Results, axes: object) -> History:
    found = list_by_python("tinyop", PYTHONS)
    obstacles = {
        python: {one.version: one.obstacle for one in listed if one.obstacle}
        for python, listed in found.items()
    }
    chosen = select(found["3.11"], ">=1.1,<=1.3")
    survey = Survey(subject=subject, releases=chosen, axes=axes, obstacles=obstacles)  # type: ignore[arg-type]
    return run_history(survey, bench=bench, results=results, say=lambda _: None)


@pytest.mark.usefixtures("both_pythons")
def test_a_python_is_an_axis_with_environments_of_its_own(
    wheels: Path, bench: Make, results: Results
) -> None:
    code = "import sys\nVALUE = 'y' if sys.version_info < (3, 11) else 'x'\n"
    make_wheel(wheels, "1.3", code)
    axes = tuple({"python": one} for one in PYTHONS)
    found = by_python(Printed(), bench(), results, axes)
    assert {row.axis: row.cells for row in found.rows} == {
        "python=3.10": ("a", "b", "b"),
        "python=3.11": ("a", "b", "a"),
    }
    assert all(set(one.locks) == set(PYTHONS) for one in found.releases)
    again, subject = bench(), Printed()
    assert by_python(subject, again, results, axes).rows == found.rows
    assert (subject.measured, again.builds) == ([], 0)


@pytest.mark.usefixtures("both_pythons")
def test_a_release_without_a_wheel_for_one_python_is_measured_with_the_other(
    wheels: Path, bench: Make, results: Results
) -> None:
    (wheels / "tinyop-1.2-py3-none-any.whl").unlink()
    make_wheel(wheels, "1.2", "VALUE = 'y'\n", "py311-none-any")
    found = by_python(Printed(), bench(), results, tuple({"python": one} for one in PYTHONS))
    assert {row.axis: row.cells for row in found.rows} == {
        "python=3.10": ("a", None, "a"),
        "python=3.11": ("a", "b", "a"),
    }
    assert found.releases[1].failures == {
        "python=3.10": "no wheel for Python 3.10 on this platform"
    }


def test_a_variable_is_an_axis(wheels: Path, bench: Make, results: Results) -> None:
    make_wheel(wheels, "1.3", "import os\nVALUE = os.environ['TINYOP_MODE']\n")
    (axes,) = [read_axes(["TINYOP_MODE=x,fast and loose"])]
    found = by_python(Printed(), bench(), results, axes)
    assert [row.cells for row in found.rows] == [("a", "b", "a"), ("a", "b", "c")]
    assert found.rows[1].axis == "TINYOP_MODE=fast and loose"


class Fussy(Printed):
    """Runs in one release at one of two axis values only."""

    def measure(self, environment: Environment, place: object, control: Path) -> dict:
        if environment.name == "tinyop-1.2" and environment.settings.get("threads") == "2":
            raise ScriptFailed("not with two threads")
        return super().measure(environment, place, control)


def test_a_gap_at_one_axis_value_hides_no_change(
    wheels: Path, bench: Make, results: Results
) -> None:
    for version, bits in (("1.2", "x"), ("1.3", "y")):
        make_wheel(wheels, version, f"VALUE = {bits!r}\n")
    found = by_python(Fussy(), bench(), results, read_axes(["threads=1,2"]))
    assert [row.cells for row in found.rows] == [("a", "a", "b"), ("a", None, "b")]
    assert found.rows[1].absent == {"1.2": "not with two threads"}
    last = {row.axis: row.since for row in found.changes[1].rows}
    assert last == {"threads=1": None, "threads=2": "1.1"}
