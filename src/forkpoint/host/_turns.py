"""Two runs of which the second reads what the first recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from forkpoint.claims import scratch_folder
from forkpoint.host._result import JobResult
from forkpoint.process import in_parallel
from forkpoint_worker import GO


def in_turn(
    first: Callable[[], JobResult],
    second: Callable[[Path | None], JobResult],
    *,
    at_once: bool,
) -> tuple[JobResult, JobResult | None]:
    """Run two jobs, the second with the first one's recording as its reference.

    ``second`` is given the job's ``gate``. With ``at_once`` both processes start together: the
    second one's imports and preparations take no time of their own then, and it waits at its
    first step until the first run has ended. The second result is null where the first run
    failed, so that there was nothing to compare with.
    """
    if not at_once:
        result = first()
        return result, second(None) if result.failure is None else None
    with scratch_folder() as folder:
        gate = folder / "gate"

        def opening() -> JobResult:
            result = first()
            _say(gate, GO if result.failure is None else "stop")
            return result

        tasks: list[Callable[[], JobResult]] = [opening, partial(second, gate)]
        one, two = in_parallel(tasks)
    return one, two if one.failure is None else None


def _say(gate: Path, word: str) -> None:
    """Write the file whole: a worker that sees it reads it at once."""
    written = gate.with_suffix(".new")
    written.write_text(word, encoding="utf-8")
    written.replace(gate)
