"""Real environments that the worker runs in, from the oldest to the newest that can be built."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from forkpoint.environments import (
    Environment,
    EnvironmentCache,
    build,
    find_interpreters,
    parse_spec,
)

# not where the package is installed: its neighbours there must not be seen in the environment
SOURCES = Path(__file__).parents[2] / "src"
INSIDE = Path(__file__).with_name("inside")
MODULES = (
    "aside", "attention", "audited_kinds", "digests", "measures", "modules", "op_events", "others",
    "outside_calls", "reading", "replaying", "storing", "substituting", "swapping", "unpacking",
    "varied_calls", "watched",
)  # fmt: skip

# torch release, and the Pythons that it has wheels for: which end of them is wanted
_RELEASES: dict[str, tuple[str, tuple[int, int], tuple[int, int], Callable[..., tuple[int, int]]]]
_RELEASES = {
    "oldest": ("torch==2.0.1", (3, 8), (3, 11), min),
    "middle": ("torch==2.10.0 numpy", (3, 10), (3, 11), max),
    "newest": ("torch==2.15.0", (3, 10), (3, 13), max),
}
ENVIRONMENTS = tuple(_RELEASES)

WorkerEnv = Callable[[str], Environment]


@pytest.fixture(scope="session")
def worker_env() -> Iterator[WorkerEnv]:
    """Environments by name (`ENVIRONMENTS`), built once in the real cache."""
    with EnvironmentCache() as environments:

        @cache
        def get(name: str) -> Environment:
            requirements, first, last, choose = _RELEASES[name]
            found = {i.version[:2] for i in find_interpreters()}
            fitting = [version for version in found if first <= version <= last]
            if not fitting:
                pytest.skip(f"no Python has a wheel of {requirements}")
            major, minor = choose(fitting)
            spec = parse_spec(f"{name}={requirements} python={major}.{minor}")
            return build(spec, cache=environments)

        yield get


@dataclass(frozen=True)
class InsideRun:
    """What the tests in `INSIDE` said in one environment: (outcome, detail) by test."""

    results: dict[str, tuple[str, str]]
    artifacts: Path
    end: str

    def check(self, test: str) -> None:
        """Report one test's outcome as that of the calling test."""
        if test not in self.results:
            pytest.fail(f"the process ended before this test: {self.end}", pytrace=False)
        outcome, detail = self.results[test]
        if outcome == "skipped":
            pytest.skip(detail)
        if outcome == "failed":
            pytest.fail(detail, pytrace=False)


@pytest.fixture(scope="session")
def inside(
    request: pytest.FixtureRequest,
    worker_env: WorkerEnv,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], InsideRun]:
    """Runs all tests in `INSIDE` in an environment, in one process, once.

    The first call starts the processes of all environments that selected tests ask for.
    """

    @cache
    def started(name: str) -> tuple[Path, subprocess.Popen[bytes]]:
        out = tmp_path_factory.mktemp(name)
        argv = [worker_env(name).python, "-I", INSIDE / "runner.py", SOURCES, out, *MODULES]
        with (out / "stderr").open("wb") as stderr:
            return out, subprocess.Popen(argv, cwd=out, stdout=stderr, stderr=stderr)

    @cache
    def run(name: str) -> InsideRun:
        for item in request.session.items:
            if "inside" in getattr(item, "fixturenames", ()):
                started(item.callspec.params["environment"])
        out, process = started(name)
        status = process.wait()
        rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        results = {row["test"]: (row["outcome"], row["detail"]) for row in rows}
        end = f"status {status}\n{(out / 'stderr').read_text()[-4000:]}"
        return InsideRun(results=results, artifacts=out / "artifacts", end=end)

    return run
