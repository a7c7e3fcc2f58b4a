"""Reading files of ``torch.save`` in an environment that has torch: never in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forkpoint.environments import Environment
from forkpoint.host._answers import Questions, first_line
from forkpoint.host._run import Watcher

UnpackStatus = Literal["read", "refused", "no_reader", "crashed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What came of one file; ``reason`` says why it was not read.

    ``crashed`` is the host's word: the process died over it. ``no_reader``: the environment has
    no torch, or one whose weights-only reader is known to be unsafe (before 2.10).
    """

    id: str
    status: UnpackStatus
    reason: str | None = None


def unpack(
    environment: Environment,
    files: Sequence[tuple[Path, Path]],
    *,
    control: Path,
    timeout: float | None = None,
    watcher: Watcher | None = None,
) -> list[Unpacked]:
    """Read each ``(file, folder)`` and write its tensors and values to the new folder.

    The worker's protocol says what the folder then holds: it comes from a process that read
    foreign data, and is to be checked like any file. A file in which the process dies, or
    which takes longer than ``timeout`` seconds, is ``crashed``; those behind it are still read.
    Raises `WorkerFailed` and `EnvironmentFailed` as `replay` does.
    """
    requests = {
        str(number): {"id": str(number), "path": str(path.absolute()), "out": str(out.absolute())}
        for number, (path, out) in enumerate(files)
    }
    questions = Questions(
        kind="unpack", environment=environment, control=control, timeout=timeout, watcher=watcher
    )
    return [
        answer
        if isinstance(answer, Unpacked)
        else Unpacked(id=one, status="crashed", reason=first_line(answer))
        for one, answer in questions.ask(requests, Unpacked).items()
    ]
