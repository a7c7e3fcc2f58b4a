"""What forkpoint does, as functions: `compare`, `record`, `diff`."""

from collections.abc import Sequence

from forkpoint.api._artifacts import diff_artifacts, unpacking
from forkpoint.api._audit import Audited, Questions, audit, run_audit
from forkpoint.api._compare import Finished, compare, diff, run_comparison
from forkpoint.api._explain import explain
from forkpoint.api._history import PYTHON, Range, bisect, everything_between, history
from forkpoint.api._options import Observer, Options
from forkpoint.api._record import record
from forkpoint.api._replay import CapsuleReplay, replay_capsules
from forkpoint.api._repro import repro
from forkpoint.api._results import write_result
from forkpoint.api._runner import Asked, Environments, Runner
from forkpoint.environments import Environment, EnvironmentCache
from forkpoint.repro import Reproducer, Shown

__all__ = [
    "PYTHON",
    "Asked",
    "Audited",
    "CapsuleReplay",
    "Environments",
    "Finished",
    "Observer",
    "Options",
    "Questions",
    "Range",
    "Reproducer",
    "Shown",
    "audit",
    "bisect",
    "build_environments",
    "compare",
    "diff",
    "diff_artifacts",
    "everything_between",
    "explain",
    "history",
    "record",
    "replay_capsules",
    "repro",
    "run_audit",
    "run_comparison",
    "unpacking",
    "write_result",
]


def build_environments(
    asked: Sequence[Asked], *, options: Options | None = None, observer: Observer | None = None
) -> list[Environment]:
    """Build environments at once, or find them in the cache."""
    options = options or Options()
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        return Runner(options, observer or Observer(), cache).build(asked)
