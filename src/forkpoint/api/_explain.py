"""Diagnosing what was compared before: experiments on the results in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from forkpoint.api._compare import Finished
from forkpoint.api._diagnose import Bench, closest_pass, diagnosed
from forkpoint.api._options import Observer, Options, require_experiments
from forkpoint.api._results import SEARCH, Results, write_result
from forkpoint.api._runner import Asked, Runner
from forkpoint.compare import DIFFERING
from forkpoint.environments import EnvironmentCache, parse_spec
from forkpoint.errors import UsageError
from forkpoint.model import Comparison, Verdict
from forkpoint.report import read_comparison, to_json


def explain(
    folder: str | PathLike[str],
    *,
    only: Sequence[str] | None = None,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Finished:
    """Search for the cause of a difference that was compared before, or go on with it.

    ``folder`` is what `compare` left; ``only`` names experiments (all where None). The
    environments are built again where they are gone. What is found is written into the folder's
    ``comparison.json``, and returned. Raises `UsageError` where the folder holds no results, or
    nothing differs in them; `EnvironmentFailed` and `WorkerFailed` as `compare` does.
    """
    require_experiments(only or ())
    results = Results.open(Path(folder))
    comparison = _comparison(results)
    request = results.request()
    asked: list[Asked] = [parse_spec(f"{name}={text}") for name, text in request.environments]
    options = options or Options()
    if options.jobs > 1 and results.artifacts.is_dir():
        raise UsageError(
            "Two runs at once would write the same files, which are kept in these results.",
            hint="Leave --jobs away where --artifacts was given.",
        )
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        runner = Runner(options, observer or Observer(), cache)
        one, two = (
            Bench(runner, e, request.workload, request.tolerance, results.logs(e.name, SEARCH))
            for e in runner.build(asked)
        )
        found = diagnosed(comparison, (one, two), results, names=only, crop=options.crop)
    write_result(results.comparison, to_json(found))
    return Finished(comparison=found, folder=results.folder)


def _comparison(results: Results) -> Comparison:
    try:
        comparison = read_comparison(results.comparison)
    except FileNotFoundError:
        raise UsageError(
            f"{results.folder} holds no comparison.json: the comparison did not come to its end.",
            hint="Run 'forkpoint compare' again.",
        ) from None
    whole = len(comparison.coverage.op_level_steps) == len(comparison.steps) > 0
    if not whole and not any(step.verdict in DIFFERING for step in comparison.steps):
        raise UsageError(
            f"Nothing differs in {results.folder}: its verdict is {comparison.verdict}.",
            hint="There is nothing to explain.",
        )
    names = comparison.baseline.name, comparison.candidate.name
    if not whole and not all(closest_pass(results, name) for name in names):
        raise UsageError(
            f"{results.folder} has no second pass: the forks were not looked at op by op.",
            hint="Run 'forkpoint compare' again, to its end.",
        )
    if comparison.verdict is Verdict.NOT_REPEATABLE or comparison.neutral.equal is False:
        raise UsageError(
            f"{results.folder}: runs of one environment do not agree with each other, so no "
            "difference between the environments can be explained.",
            hint="See the reasons in the report.",
        )
    return comparison
