"""Histories and bisections of a real package, with real builds and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forkpoint.bisect import (
    Bench,
    History,
    Looker,
    Results,
    Survey,
    find_change,
    list_releases,
    parse_constraint,
    run_history,
    select,
)
from forkpoint.errors import EnvironmentFailed, UsageError

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


def find(bench: Bench, results: Results, good: str, bad: str) -> object:
    subject = Printed()
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
