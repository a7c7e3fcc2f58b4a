"""`audit`: one environment against itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec

from forkpoint.api._options import Observer, Options
from forkpoint.api._record import Script, as_workload, nothing_recorded
from forkpoint.api._results import Results, write_result
from forkpoint.api._runner import Asked, Runner, read_environments
from forkpoint.audit import (
    PROPERTIES,
    Audit,
    Property,
    Trial,
    fresh_trials,
    judge,
    op_rows,
    read_answers,
)
from forkpoint.compare import diff, parse_tolerance, unrepeatable_steps
from forkpoint.environments import Environment, EnvironmentCache
from forkpoint.errors import UsageError
from forkpoint.host import Job, JobResult, Workload
from forkpoint.store import Recording

IN_PROCESS: tuple[Property, ...] = ("batch", "position", "padding")
_BASE = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What to try.

    ``properties``: which of `PROPERTIES`; ``promised`` ones are tried in any case, and the audit
    fails where one of them does. ``batch``, ``padding`` and ``threads`` are sizes to try (empty:
    some near the step's own; for threads 1 and 2), ``fill`` the values that named inputs are
    padded with. At most ``limit`` steps are looked at: without `Options.steps`, the first of
    each input shape.
    """

    properties: tuple[Property, ...] = PROPERTIES
    promised: tuple[Property, ...] = ()
    batch: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    threads: tuple[int, ...] = (1, 2)
    fill: Mapping[str, float] = field(default_factory=dict)
    limit: int = 8

    def __post_init__(self) -> None:
        """Raise `UsageError` for what cannot be asked."""
        for name in (*self.properties, *self.promised):
            if name not in get_args(Property):
                raise UsageError(
                    f"There is no property {name!r} to audit.",
                    hint=f"Choose from {', '.join(PROPERTIES)}.",
                )
        for what in (self.batch, self.padding, self.threads, (self.limit,)):
            if any(size < 1 for size in what):
                raise UsageError(
                    "Batch sizes, lengths, thread counts and limits are 1 or more.",
                    hint="For example --batch 1,2,4 --pad 64 --threads 1,2.",
                )

    @property
    def asked(self) -> frozenset[Property]:
        """All properties to try."""
        return frozenset((*self.properties, *self.promised))


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit, and the folder with all that was made for it."""

    audit: Audit
    folder: Path


def audit(
    script: Script,
    environment: str | Asked,
    *,
    questions: Questions | None = None,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Audit:
    """Try whether the samples of a script's steps have the same bits whatever is around them.

    ``environment`` is one as `record` takes it. Of ``options``, ``steps``, ``timeout``, the
    limits and ``out`` are read. Raises `UsageError`, `EnvironmentFailed`, `WorkerFailed` where
    the script fails, and `NothingRecorded` where it calls no module.
    """
    workload = as_workload(script)
    return run_audit(
        workload, environment, questions=questions, options=options, observer=observer
    ).audit


def run_audit(
    workload: Workload,
    environment: str | Asked,
    *,
    questions: Questions | None = None,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Audited:
    """`audit`, with the folder of results; see there."""
    options = options or Options()
    named = f"audited={environment}" if isinstance(environment, str) else environment
    asked = read_environments([named], count=1)
    claim = Results.claim(options.out, force=options.force)
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        runner = Runner(options, observer or Observer(), cache)
        (built,) = runner.build(asked)
        results = Results.create(options.out, workload, force=options.force, claim=claim)
        work = _Work(runner, workload, built, results, questions or Questions())
        found = work.finish()
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    write_result(results.audit, encoded)
    return Audited(audit=found, folder=results.folder)


@dataclass(frozen=True, slots=True)
class _Work:
    """One audit under way."""

    runner: Runner
    workload: Workload
    environment: Environment
    results: Results
    questions: Questions

    def finish(self) -> Audit:
        """Do all runs that are needed."""
        asked = self.questions.asked
        first = self._run("variants", "trying variants", variants=self._variants(asked))
        answers = read_answers(self._answers)
        steps = answers.steps
        fresh, notes = self._fresh(asked, tuple((step, step + 1) for step in steps))
        trials = (*answers.trials, *fresh)
        return Audit(
            environment=self.environment.name,
            spec=self.environment.spec.text,
            fingerprint={**first.fingerprint, **self.environment.describe()},
            properties=judge(trials, asked=asked, promised=self.questions.promised),
            ops=op_rows(trials),
            trials=trials,
            refusals=answers.refusals,
            notes=(*self._coverage(first.steps, steps), *notes),
        )

    @property
    def _answers(self) -> Path:
        return self.results.logs("variants") / "variants.jsonl"

    def _variants(self, asked: Collection[Property]) -> Mapping[str, Any]:
        """What the worker is asked: see ``Variants`` in its protocol."""
        questions, steps = self.questions, self.runner.options.steps
        return {
            "out": str(self._answers),
            "steps": None if steps is None else [list(pair) for pair in steps],
            "limit": questions.limit,
            "batch": list(questions.batch) if "batch" in asked else None,
            "position": "position" in asked,
            "padding": list(questions.padding) if "padding" in asked else None,
            "fill": dict(questions.fill),
        }

    def _fresh(
        self, asked: Collection[Property], steps: tuple[tuple[int, int], ...]
    ) -> tuple[list[Trial], list[str]]:
        """Trials in processes of their own, and what is to be said of them."""
        if not steps or not {"threads", "run"} & set(asked):
            return [], []
        self._run(_BASE, "recording", steps=steps)
        trials: list[Trial] = []
        if "run" in asked:
            self._run("again", "recording again", steps=steps)
            trials += self._compared((_BASE, "again"), "run", "another process")
        if "threads" in asked:
            trials += self._threads(steps)
        return trials, [self._neutral()]

    def _threads(self, steps: tuple[tuple[int, int], ...]) -> Iterator[Trial]:
        """All thread counts against the first; one alone against the environment's own."""
        first = _BASE
        for count in self.questions.threads:
            name = f"threads-{count}"
            self._run(name, f"with threads={count}", steps=steps, settings={"threads": str(count)})
            if first != _BASE or len(self.questions.threads) == 1:
                yield from self._compared((first, name), "threads", f"{name} against {first}")
            else:
                first = name

    def _compared(
        self, names: tuple[str, str], prompt: Property, variant: str
    ) -> tuple[Trial, ...]:
        one, two = map(self.results.recording, names)
        with Recording.open(one) as base, Recording.open(two) as other:
            found = diff(base, other, tolerance=parse_tolerance("bitwise"))
        return fresh_trials(found, prompt, variant)

    def _neutral(self) -> str:
        """Whether the script got the same results while its modules were called again."""
        one, two = (self.results.recording(each) for each in (_BASE, "variants"))
        with Recording.open(one) as base, Recording.open(two) as varied:
            changed = unrepeatable_steps(base, varied)
            steps = len(base.steps())
        if changed:
            return (
                f"The script itself got other bits in {len(changed)} of {steps} steps while its "
                f"modules were called again (first in step {changed[0]}), or does not repeat "
                "itself: trust nothing else here."
            )
        same = "its one step" if steps == 1 else f"all {steps} steps"
        return f"The script itself got the same bits in {same}, audited or not."

    def _run(
        self,
        name: str,
        purpose: str,
        *,
        variants: Mapping[str, Any] | None = None,
        steps: tuple[tuple[int, int], ...] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> JobResult:
        options = self.runner.options
        environment = self.environment.altered(settings=settings)
        job = Job(
            workload=self.workload,
            recording=self.results.recording(name),
            level="bare" if variants else "op",
            steps=steps,
            max_storage=options.max_storage,
            variants=variants,
        )
        logs = self.results.logs(name)
        result = self.runner.run(environment, job, logs=logs, purpose=purpose)
        result.raise_for_failure()
        if not result.steps:
            raise nothing_recorded(self.workload, [result])
        return result

    def _coverage(self, total: int, steps: Sequence[int]) -> list[str]:
        return [
            f"{len(steps)} of {total} {'step was' if total == 1 else 'steps were'} audited"
            + (" (one of each input shape)." if self.runner.options.steps is None else ".")
        ]
