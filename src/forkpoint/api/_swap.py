"""Swapping results of watched functions: one more run of the candidate for each swap."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from forkpoint.api._artifacts import Collector, without_equal_parts
from forkpoint.api._diagnose import Bench
from forkpoint.api._options import swapped_functions
from forkpoint.api._results import SWAP, Results
from forkpoint.compare import diff
from forkpoint.diagnose import failed_swap, judge_swap, untried_swap
from forkpoint.host import Job
from forkpoint.model import Artifact, Comparison, Experiment
from forkpoint.store import Recording

CompareFiles = Callable[[tuple[Path, Path]], tuple[Artifact, ...]]
"""Compares what two runs wrote, given the folders that hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swaps:
    """The candidate, ready to run again, and what its runs are compared with.

    ``names`` are (baseline, candidate). ``collector`` and ``files`` are given where the files of
    the runs are compared, too.
    """

    bench: Bench
    names: tuple[str, str]
    results: Results
    watch: tuple[str, ...]
    collector: Collector | None = None
    files: CompareFiles | None = None

    def tried(self, swaps: Sequence[str], before: Comparison) -> Comparison:
        """The comparison with an experiment for each swap, in the order in which they were asked.

        What the runs record and write lies in the folder of the search meanwhile, and is removed.
        Parts of files that are identical are needed to judge, and then left out.
        """
        done: list[Experiment] = []
        for asked in swaps:
            functions = swapped_functions(asked)
            try:
                done.append(untried_swap(functions, before) or self._run(functions, before))
            finally:
                shutil.rmtree(self.results.search, ignore_errors=True)
        return replace(
            before,
            experiments=(*before.experiments, *done),
            artifacts=without_equal_parts(before.artifacts),
        )

    def _run(self, functions: tuple[str, ...], before: Comparison) -> Experiment:
        baseline = self.results.recording(self.names[0])
        folder = self.results.search / "swapped"
        collector = self.collector and replace(self.collector, folder=self.results.search / "files")
        bench = replace(self.bench, logs=self.results.logs(self.names[1], SWAP))
        if collector is not None:
            bench = replace(bench, afterwards=partial(collector.take, self.names[1], keep=True))
        job = Job(recording=folder, reference=baseline, watch=self.watch, swap=functions, store=())
        run = bench.run(job, purpose=f"with {self.names[0]}'s results of {' and '.join(functions)}")
        if run.failure is not None:
            return failed_swap(functions, before, run.failure.message.partition("\n")[0])
        with ExitStack() as stack:
            pair = [stack.enter_context(Recording.open(path)) for path in (baseline, folder)]
            after = diff(pair[0], pair[1], tolerance=bench.tolerance)
        if collector is not None and self.files is not None and self.collector is not None:
            kept = self.collector.kept(self.names[0]), collector.kept(self.names[1])
            after = replace(after, artifacts=self.files(kept))
        return judge_swap(functions, before, after)
