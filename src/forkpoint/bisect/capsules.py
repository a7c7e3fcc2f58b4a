"""Capsules as the subject: each one is a call, known by its content."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from forkpoint.bisect.model import Answer
from forkpoint.bisect.results import Installed, Place, other_machine
from forkpoint.bisect.subjects import Calls, RowKey
from forkpoint.errors import RecordingError
from forkpoint.host import Call
from forkpoint.store import Capsule, read_capsule

_CPU = "cpu"


def capsule_subject(folders: Sequence[Path]) -> Calls:
    """Capsules, as something to measure.

    Raises `RecordingError` where a folder holds none, or one that cannot be replayed.
    """
    found, keys, slots = {}, {}, {}
    for folder in folders:
        capsule, name = _read(folder), _content(folder)
        found[name] = Call(id=name, capsule=folder.absolute())
        slots[name] = frozenset(capsule.outputs)
        keys[name] = RowKey(
            name=f"{capsule.op} ({folder.name})",
            op=capsule.op,
            dtype=capsule.dtype,
            shapes=capsule.shapes,
        )
    title = folders[0].name if len(folders) == 1 else f"{len(folders)} capsules"
    return Calls(title=title, calls=found, keys=keys, slots=slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What capsules recorded in one torch release: its answer, without running anything.

    It counts where this machine and Python would give it again (`obstacle` says why not);
    ``local`` is the build of torch (cu128, cpu, or nothing).
    """

    version: Version
    local: str
    capsules: Mapping[str, Capsule]

    def obstacle(self, *, python: tuple[int, int], cpu_builds: bool) -> str | None:
        """Why these bits are not those of a build here, or None where they are.

        ``cpu_builds``: whether CPU builds of torch are what would be installed.
        """
        first = next(iter(self.capsules.values()))
        if any(capsule.devices != {_CPU} for capsule in self.capsules.values()):
            return "on a GPU"
        release = first.fingerprint.get("python.version", "unknown")
        if not release.startswith(f"{python[0]}.{python[1]}."):
            return f"under Python {release}"
        if (self.local == _CPU) != cpu_builds:
            return f"with another build of torch ({self.version}+{self.local})"
        return other_machine(first.fingerprint)

    @property
    def installed(self) -> Installed:
        """Stands for the environment in which the capsules were recorded."""
        return Installed(tuple(sorted(self.capsules)), f"recorded in torch {self.version}")

    def write(self, place: Place) -> dict[str, Answer]:
        """Put the recorded outputs where a release's are kept, and return the answers."""
        answers = {}
        for item, capsule in self.capsules.items():
            place.kept.joinpath(item).mkdir(parents=True, exist_ok=True)
            shutil.copy(capsule.folder / "outputs.safetensors", place.kept / item)
            bits = tuple(capsule.outputs[slot] for slot in sorted(capsule.outputs))
            answers[item] = Answer(status="ran", digests=bits, inputs=item)
        place.add(answers)
        return answers


def recorded(subject: Calls) -> Recorded | None:
    """What the capsules of a subject recorded, where all did so in one and the same release."""
    folders = {item: call.capsule for item, call in subject.calls.items()}
    capsules = {item: read_capsule(folder) for item, folder in folders.items() if folder}
    prints = [capsule.fingerprint for capsule in capsules.values()]
    releases = {fingerprint.get("torch.version", "") for fingerprint in prints}
    if len(capsules) < len(folders) or len(releases) != 1:
        return None
    if any(other_machine(one) != other_machine(prints[0]) for one in prints):
        return None
    try:
        version = Version(releases.pop())
    except InvalidVersion:
        return None
    return Recorded(version=Version(version.public), local=version.local or "", capsules=capsules)


def _read(folder: Path) -> Capsule:
    capsule = read_capsule(folder)
    if capsule.reason:
        raise RecordingError(
            f"{folder} cannot be replayed: {capsule.reason}.", hint="Choose another capsule."
        )
    return capsule


def _content(folder: Path) -> str:
    """A hash over all that the capsule holds: it names its answers in the results."""
    content = hashlib.sha256()
    for name in ("capsule.json", "tensors.safetensors"):
        path = folder / name
        content.update(path.read_bytes() if path.exists() else b"")
    return content.hexdigest()[:32]
