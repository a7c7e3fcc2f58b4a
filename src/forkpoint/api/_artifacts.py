"""Comparing the files that two runs left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from forkpoint.api._options import Observer, Options, read_tolerance
from forkpoint.api._runner import Asked, Runner
from forkpoint.artifacts import (
    Context,
    Relevance,
    Unpack,
    Unpacker,
    compare_trees,
    read_relevance,
    require_measures,
)
from forkpoint.compare import concluded, worst
from forkpoint.environments import EnvironmentCache
from forkpoint.errors import UsageError
from forkpoint.host import Workload, unwritable
from forkpoint.model import Artifact, ArtifactComparison, Comparison, Tolerance, Verdict
from forkpoint.report import artifact_sentence


def diff_artifacts(
    baseline: str | PathLike[str],
    candidate: str | PathLike[str],
    *,
    tolerance: str | Tolerance = "torch",
    relevance: str | PathLike[str] | None = None,
    unpack: Unpack | None = None,
) -> ArtifactComparison:
    """Compare two folders of files, or two files, by content.

    ``relevance`` is a file of judgements (TREC form) to measure rankings by. ``unpack`` reads
    files of ``torch.save`` (`unpacking`). Files that are damaged or unsafe are
    ``not_comparable`` and say why. Raises `UsageError` where there is nothing to compare.
    """
    one, two = Path(baseline), Path(candidate)
    limits = read_tolerance(tolerance)
    if relevance is not None:
        require_measures()
    judged = read_relevance(Path(relevance)) if relevance is not None else None
    context = Context(tolerance=limits, relevance=judged)
    artifacts = compare_trees(one, two, context, unpack=unpack)
    if not artifacts:
        raise UsageError(f"{one} and {two} hold no files.", hint="Name folders with files in them.")
    return ArtifactComparison(
        verdict=worst(artifact.verdict for artifact in artifacts) or Verdict.NOT_COMPARABLE,
        baseline=str(one),
        candidate=str(two),
        tolerance=limits,
        artifacts=artifacts,
    )


@contextmanager
def unpacking(
    environments: Sequence[Asked],
    *,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Iterator[Unpack]:
    """What `diff_artifacts` needs to read files of ``torch.save``: environments with torch.

    They are read weights-only, in a process of the first environment whose torch has a safe
    reader (2.10 or newer), and never in this one. Raises `EnvironmentFailed`.

    >>> with unpacking([parse_spec("reader=torch>=2.10")]) as unpack:
    ...     diff_artifacts("old", "new", unpack=unpack)
    """
    options = options or Options()
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        yield Unpacker(Runner(options, observer or Observer(), cache).build(environments))


@dataclass(frozen=True, slots=True)
class Collector:
    """Takes what each run writes to ``path`` out of the way of the next one.

    Every run finds nothing there, as the first did; what the recorded runs wrote is kept in
    ``folder/NAME``, and what later runs of the same script wrote is removed. ``judged`` is a
    file of relevance judgements, which may be one of those that the runs write. With
    ``every_part``, parts of files that are identical are listed, too.
    """

    path: Path
    folder: Path
    judged: Path | None = None
    every_part: bool = False

    def require_nothing_there(self) -> None:
        """Raise `UsageError` where something is there before any run: whose would it be?"""
        if os.path.lexists(self.path):
            raise UsageError(
                f"{self.path} is there already, so what the runs write could not be told apart.",
                hint="Move it away, or let the script write elsewhere, and try again.",
            )

    def require_judgements(self) -> None:
        """Raise `UsageError` before any run where rankings could not be measured after it."""
        if self.judged is None:
            return
        require_measures()
        if not self._writes(self.judged):
            read_relevance(self.judged)

    def relevance(self, name: str) -> Relevance | None:
        """The judgements; those that runs write as the one in environment ``name`` wrote them.

        Raises `UsageError` where they cannot be read.
        """
        if self.judged is None:
            return None
        if self._writes(self.judged):
            kept = self.folder / name / self.judged.relative_to(self.path.parent)
            return read_relevance(kept)
        return read_relevance(self.judged)

    def kept(self, name: str) -> Path:
        """The folder with what the run in environment ``name`` wrote; empty where nothing."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _writes(self, file: Path) -> bool:
        """Whether a file is one of those that the runs write."""
        return file.is_relative_to(self.path)

    def take(self, name: str, *, keep: bool) -> None:
        """Keep or remove what the run in environment ``name`` wrote."""
        if not os.path.lexists(self.path):
            return
        try:
            if keep:
                shutil.move(self.path, self.kept(name) / self.path.name)
            elif self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            else:
                self.path.unlink()
        except (OSError, shutil.Error) as error:
            reason = error if isinstance(error, OSError) else OSError(str(error))
            raise unwritable("The files of a run", self.folder, reason) from error

    def compare(
        self,
        folders: tuple[Path, Path],
        *,
        tolerance: Tolerance,
        relevance: Relevance | None = None,
        unpack: Unpack | None = None,
    ) -> tuple[Artifact, ...]:
        """Compare what two runs wrote, in the folders where that is `kept`."""
        context = Context(tolerance=tolerance, relevance=relevance, every_part=self.every_part)
        found = compare_trees(folders[0], folders[1], context, unpack=unpack)
        nothing = Artifact(
            path=self.path.name,
            kind="none",
            verdict=Verdict.NOT_COMPARABLE,
            summary=f"neither run wrote a file at {self.path}",
        )
        return found or (nothing,)


def collector_for(workload: Workload, options: Options, folder: Path) -> Collector | None:
    """Takes what the workload writes at ``options.artifacts`` to ``folder``; null without that.

    Raises `UsageError` where something is in the way, or judgements cannot be read.
    """
    if options.artifacts is None:
        return None
    here = workload.cwd.absolute()
    collector = Collector(
        _plain(here / options.artifacts),
        folder,
        judged=_plain(here / options.relevance) if options.relevance else None,
        every_part=bool(options.swap),  # swaps are judged part by part
    )
    collector.require_nothing_there()
    collector.require_judgements()
    return collector


def _plain(path: Path) -> Path:
    """The path without ``.`` and ``..``, as one path is compared with another."""
    return Path(os.path.normpath(path))


def without_equal_parts(artifacts: Sequence[Artifact]) -> tuple[Artifact, ...]:
    """Files, and of their parts those that are not identical."""
    return tuple(one for one in artifacts if not one.part or one.verdict is not Verdict.IDENTICAL)


def with_artifacts(comparison: Comparison, artifacts: tuple[Artifact, ...]) -> Comparison:
    """The comparison with its files; its verdict counts them."""
    reason = f"The runs wrote {artifact_sentence(artifacts)}"
    reasons = (*comparison.reasons, reason)
    return concluded(replace(comparison, artifacts=artifacts, reasons=reasons))
