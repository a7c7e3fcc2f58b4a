"""Files of ``torch.save``, read by a worker in an environment that has torch.

What comes back is files again (safetensors and JSON), written by a process that read foreign
data: they are checked like any other.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from forkpoint.artifacts.arrays import Stored
from forkpoint.artifacts.comparer import File, Refused
from forkpoint.artifacts.documents import MAX_DOCUMENT, parse
from forkpoint.artifacts.safetensors import tensors_of
from forkpoint.artifacts.walk import file_at
from forkpoint.environments import Environment
from forkpoint.errors import ForkpointError
from forkpoint.host import Unpacked, unpack
from forkpoint.store import DTYPES

NEEDS_TORCH = "Read it safely with: forkpoint diff ... --env 'torch>=2.10'"
_SECONDS = 600.0
_SPEED = 10e6  # bytes a second that a disk should manage at least
_MARGIN = 1 << 28


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file holds: tensors by name, all else as plain values, and what was left out.

    ``skipped`` says why, by name.
    """

    tensors: dict[str, Stored]
    value: Any
    skipped: dict[str, str]


Found = Mapping[Path, Contents | Refused]
Unpack = Callable[[Sequence[Path]], AbstractContextManager[Found]]
"""Reads files; what was read is there until the end of the block."""


@dataclass(slots=True)
class Unpacker:
    """An `Unpack` by the first of some environments whose torch has a safe reader.

    ``folder`` is where unpacked tensors lie for the time (by default the system's folder for
    temporary files).
    """

    environments: Sequence[Environment]
    folder: Path | None = None

    @contextmanager
    def __call__(self, paths: Sequence[Path]) -> Iterator[Found]:
        """Read files, each once; a file that cannot be read is a `Refused`."""
        with tempfile.TemporaryDirectory(prefix="forkpoint-", dir=self.folder) as scratch:
            yield self._read(list(dict.fromkeys(paths)), Path(scratch))

    def _read(self, paths: Sequence[Path], scratch: Path) -> Found:
        size = sum(map(_size, paths))
        if shutil.disk_usage(scratch).free < size + _MARGIN:
            refused = Refused(
                f"Not compared: reading it takes {size:,} bytes of room in {scratch.parent}.",
                hint="Free some space, or set TMPDIR to a folder on a larger disk.",
            )
            return dict.fromkeys(paths, refused)
        places = [(path, scratch / str(number)) for number, path in enumerate(paths)]
        try:
            answers = self._ask(places, scratch / "logs", timeout=_SECONDS + size / _SPEED)
        except ForkpointError as error:
            refused = Refused(f"Not compared: {error.message.splitlines()[0]}", hint=error.hint)
            return dict.fromkeys(paths, refused)
        return {
            path: _contents(answer, out)
            for (path, out), answer in zip(places, answers, strict=True)
        }

    def _ask(
        self, places: Sequence[tuple[Path, Path]], logs: Path, *, timeout: float
    ) -> list[Unpacked]:
        answers: list[Unpacked] = []
        for number, environment in enumerate(self.environments):
            answers = unpack(environment, places, control=logs / str(number), timeout=timeout)
            if any(answer.status != "no_reader" for answer in answers):
                self.environments = [environment]  # the others need not be tried again
                break
        return answers


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it is gone: the worker will say so
        return 0


def _contents(answer: Unpacked, folder: Path) -> Contents | Refused:
    reason = (answer.reason or answer.status).rstrip(".")
    if answer.status == "no_reader":
        return Refused(
            f"Not compared: {reason}, and it is a pickle. {NEEDS_TORCH}",
            hint=NEEDS_TORCH,
        )
    if answer.status == "crashed":
        return Refused(
            f"Not compared: the process that read it died over it: {reason}.",
            hint="Is it damaged, or too large for this machine's memory? Do not trust it.",
        )
    if answer.status != "read":
        return Refused(
            f"Not compared, and nothing of it was run: {reason}.",
            hint="Save tensors alone, or with safetensors; do not trust a file from elsewhere.",
        )
    try:
        return _loaded(folder)
    except Refused as refused:
        return refused


def _file(path: Path) -> File:
    try:
        return file_at(path.name, path)
    except OSError as error:
        raise _nonsense(str(error)) from error


class _Layout(msgspec.Struct):
    dtype: str
    shape: list[int]


class _Document(msgspec.Struct):
    tensors: dict[str, _Layout]
    skipped: dict[str, str]


def _loaded(folder: Path) -> Contents:
    """The folder that the worker wrote for one file; raises `Refused` where it makes no sense."""
    data = _small(folder / "content.json")
    try:
        document = msgspec.json.decode(data, type=_Document)
        value = _value(parse(data)["value"])
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _nonsense(str(error)[:200]) from error
    path = folder / "tensors.safetensors"
    stored = tensors_of(_file(path))
    if stored.keys() != document.tensors.keys():
        raise _nonsense("it names other tensors than it wrote")
    skipped, tensors = dict(document.skipped), {}
    for name, layout in document.tensors.items():
        if layout.dtype in DTYPES:
            tensors[name] = _typed(stored[name], layout)
        else:
            skipped[name] = f"a tensor of dtype {layout.dtype[:20]}"
    return Contents(tensors, value, skipped)


def _small(path: Path) -> bytes:
    file = _file(path)
    if file.size > MAX_DOCUMENT:
        raise Refused(
            f"It holds more than {MAX_DOCUMENT:,} bytes beside its tensors.",
            hint="Save the tensors in a file of their own.",
        )
    return file.read()


def _typed(stored: Stored, layout: _Layout) -> Stored:
    """The same bytes with their own dtype: the format lacks some, and has them as bytes."""
    dtype, shape = DTYPES[layout.dtype], tuple(layout.shape)
    size = math.prod(stored.shape) * stored.dtype.itemsize
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != size:
        raise _nonsense(f"a tensor is {layout.dtype}{layout.shape[:9]} of {size:,} bytes")
    return replace(stored, dtype=dtype, shape=shape)


def _nonsense(problem: str) -> Refused:
    return Refused(
        f"What the worker read of it makes no sense: {problem}.", hint="Do not trust the file."
    )


_TENSOR = object()


def _value(tagged: Any) -> Any:
    """Plain values as the worker tags them, without the tensors, which are compared apart."""
    found = _untagged(tagged)
    return None if found is _TENSOR else found


def _untagged(tagged: Any) -> Any:
    if isinstance(tagged, list):
        items = map(_untagged, tagged)
        return [None if item is _TENSOR else item for item in items]
    if not isinstance(tagged, dict):
        return tagged
    (kind, held), *_ = tagged.items()
    if kind in ("tensor", "skipped"):
        return _TENSOR
    if kind != "dict":
        return {f"<{kind}>": held}
    values = {key: _untagged(item) for key, item in held.items()}
    return {key: item for key, item in values.items() if item is not _TENSOR}
