"""Building environments and running jobs in them, while telling an observer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from forkpoint.api._options import Observer, Options
from forkpoint.environments import (
    Environment,
    EnvironmentCache,
    EnvironmentSpec,
    build,
    parse_spec,
)
from forkpoint.errors import UsageError
from forkpoint.host import (
    Call,
    Job,
    JobResult,
    Replayed,
    Replayer,
    Rules,
    Watcher,
    replay,
    run_job,
)
from forkpoint.process import in_parallel

T = TypeVar("T")

Asked = EnvironmentSpec | Environment
Environments = Mapping[str, str] | Sequence[str | EnvironmentSpec | Environment]
"""Environments as a caller may name them: ``{"old": "torch==2.9.1"}``, or a list of
``"old=torch==2.9.1"``, specs and built environments."""


def read_environments(environments: Environments, *, count: int) -> list[Asked]:
    """Turn what a caller wrote into specs; exactly ``count`` of them, names all different."""
    if isinstance(environments, Mapping):
        read: list[Asked] = [parse_spec(f"{name}={text}") for name, text in environments.items()]
    else:
        read = [parse_spec(one) if isinstance(one, str) else one for one in environments]
    if len(read) != count:
        named = ", ".join(one.name for one in read) or "none"
        raise UsageError(
            f"{'One environment is' if count == 1 else 'Two environments are'} needed, "
            f"and {len(read)} named ({named}).",
            hint="Name each with --env, as in --env old='torch==2.9.1' --env new='torch==2.10.0'.",
        )
    if len({one.name for one in read}) != count:
        raise UsageError(
            f"Both environments are called {read[0].name!r}.",
            hint="Give each its own name, as in --env old=... --env new=...",
        )
    return read


@dataclass(frozen=True, slots=True)
class Runner:
    """Builds and runs by one set of options.

    ``limited``: replayed calls come from capsules that anybody may have made, so that they may
    take no more memory and time than their inputs are worth, unless ``options.trust`` says so.
    """

    options: Options
    observer: Observer
    cache: EnvironmentCache
    limited: bool = False

    def build(self, asked: Sequence[Asked]) -> list[Environment]:
        """Build all environments at once; those that exist cost nothing."""
        return in_parallel([partial(self._build_one, one) for one in asked])

    def run(self, environment: Environment, job: Job, *, logs: Path, purpose: str) -> JobResult:
        """Run one job; a script that fails is a value, and the observer hears of it."""
        name = environment.name
        self.observer.running(name, purpose)
        result = run_job(
            environment,
            job,
            control=logs,
            timeout=self.options.timeout,
            watcher=Watcher(
                line=lambda stream, text: self.observer.line(name, text, logs / f"{stream}.log"),
                event=lambda last: self.observer.event(name, last),
            ),
        )
        self.observer.ended(result)
        return result

    def replay(
        self,
        environment: Environment,
        calls: Sequence[Call],
        *,
        logs: Path,
        purpose: str,
        replayer: Replayer | None = None,
    ) -> dict[str, Replayed]:
        """Run op calls, in the process of a replayer or else in a fresh one; what came of each."""
        self.observer.running(environment.name, purpose)
        if replayer is not None:
            return replayer.ask(calls)
        return replay(
            environment,
            calls,
            control=logs,
            timeout=self.options.timeout,
            watcher=self._watcher(environment.name),
            rules=self._rules,
        )

    def replayer(self, environment: Environment, *, logs: Path) -> Replayer | None:
        """A process that stays for op calls; null under a time limit, which is each process's."""
        if self.options.timeout is not None:
            return None
        return Replayer(environment, logs, self._watcher(environment.name), self._rules)

    @property
    def at_once(self) -> bool:
        """Whether two runs of the script may go on at the same time.

        Not under a time limit: a run that waits for the other one would use it up.
        """
        return self.options.jobs > 1 and self.options.timeout is None

    def both(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Do two tasks one after the other, or at once with ``jobs=2``."""
        return in_parallel(tasks) if self.options.jobs > 1 else [task() for task in tasks]

    @property
    def _rules(self) -> Rules:
        trust = self.options.trust
        return Rules(trust=trust, limited=self.limited and not trust)

    def _watcher(self, name: str) -> Watcher:
        """Tells the observer of the calls that a process in environment ``name`` begins."""
        return Watcher(event=lambda last: self.observer.event(name, last))

    def _build_one(self, asked: Asked) -> Environment:
        if isinstance(asked, Environment):
            return asked
        environment = build(
            asked,
            cache=self.cache,
            torch_backend=self.options.torch_backend,
            progress=partial(self.observer.building, asked.name),
        )
        self.observer.built(environment)
        return environment
