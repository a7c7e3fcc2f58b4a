"""Capsules as the subject: each one is a call, known by its content."""

from __future__ import annotations

import filecmp
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion, Version

from forkpoint.bisect.model import Answer
from forkpoint.bisect.results import Installed, Place, other_machine
from forkpoint.bisect.subjects import Calls, RowKey
from forkpoint.errors import RecordingError, UsageError
from forkpoint.host import Call, Rules
from forkpoint.store import Capsule, read_capsule
from forkpoint.untrusted import open_file, read_json

_CPU = "cpu"
_LARGEST = 1 << 28
_BLOCK = 1 << 20


def capsule_subject(folders: Sequence[Path], *, trust: bool = False) -> Calls:
    """Capsules, as something to measure; with ``trust``, of ops of any library, without limits.

    Raises `RecordingError` where a folder holds none, or one that cannot be replayed.
    """
    found, keys, slots = {}, {}, {}
    for folder in folders:
        capsule, name = _read(folder, trust=trust), _content(folder)
        found[name] = Call(id=name, capsule=folder.absolute())
        slots[name] = frozenset(capsule.outputs)
        keys[name] = RowKey(
            name=f"{capsule.op} ({folder.name})",
            op=capsule.op,
            dtype=capsule.dtype,
            shapes=capsule.shapes,
        )
    title = folders[0].name if len(folders) == 1 else f"{len(folders)} capsules"
    rules = Rules(trust=trust, limited=not trust)
    return Calls(title=title, calls=found, keys=keys, slots=slots, rules=rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What capsules recorded in one torch release: its answer, without running anything.

    It counts where this machine and Python would give it again (`obstacle` says why not).
    ``confirmed``: a replay of the same calls, alone, gave these bits in that release.
    """

    version: Version
    confirmed: bool
    capsules: Mapping[str, Capsule]

    def obstacle(self, *, python: tuple[int, int], cpu_builds: bool) -> str | None:
        """Why these bits are not those of a build here, or None where they are.

        ``cpu_builds``: whether CPU builds of torch are what would be installed.
        """
        first = next(iter(self.capsules.values())).fingerprint
        if any(capsule.devices != {_CPU} for capsule in self.capsules.values()):
            return "on a GPU"
        release = first.get("python.version", "unknown")
        if not release.startswith(f"{python[0]}.{python[1]}."):
            return f"under Python {release}"
        if first["torch.version"].endswith(f"+{_CPU}") != cpu_builds:
            return f"with another build of torch ({first['torch.version']})"
        return other_machine(first)

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


def recorded(subject: Calls) -> tuple[Recorded, ...]:
    """What the capsules of a subject recorded, for each release in which all of them did.

    A comparison keeps an origin's capsules of both environments side by side. Where it says that
    replay confirmed the origin, then each alone gave its recorded bits, and the candidate gave
    its own for the baseline's capsule, too: that is the answer of two releases.
    """
    found: dict[Version, dict[str, Capsule]] = {}
    confirmed = True
    for item, call in subject.calls.items():
        if call.capsule is None:
            return ()
        own = read_capsule(call.capsule)
        both = _is_confirmed(own.folder)
        confirmed = confirmed and both
        for capsule in (own, *(_partners(own) if both else ())):
            version = _version(capsule)
            if version is not None:
                found.setdefault(version, {}).setdefault(item, capsule)
    whole = {version: one for version, one in found.items() if len(one) == len(subject.calls)}
    return tuple(
        Recorded(version=version, confirmed=confirmed, capsules=capsules)
        for version, capsules in sorted(whole.items())
        if len({other_machine(one.fingerprint) for one in capsules.values()}) == 1
    )


class _Origin(msgspec.Struct, frozen=True):
    capsule: str | None = None
    confirmed: str | None = None


class _Comparison(msgspec.Struct, frozen=True):
    origins: tuple[_Origin, ...] = ()


def _is_confirmed(folder: Path) -> bool:
    """Whether the comparison that a capsule belongs to says that replay gave its bits."""
    results = folder.parent.parent.parent
    try:
        origins = read_json(results / "comparison.json", _Comparison, most=_LARGEST).origins
    except (OSError, UsageError):
        return False
    places = {
        (results / one.capsule).parent
        for one in origins
        if one.capsule and one.confirmed == "replay"
    }
    return folder.parent in places


def _partners(own: Capsule) -> list[Capsule]:
    """Capsules beside this one of the very same call: op, arguments and input bytes."""
    found = []
    for folder in sorted(own.folder.parent.iterdir()):
        if folder != own.folder and (other := _whole(folder)) is not None:
            same = (other.op, other.shapes, other.signature) == (own.op, own.shapes, own.signature)
            if same and other.outputs.keys() == own.outputs.keys() and _inputs_equal(own, other):
                found.append(other)
    return found


def _whole(folder: Path) -> Capsule | None:
    """The capsule in a folder that nobody named; None where there is none to be read."""
    try:
        return read_capsule(folder)
    except RecordingError:
        return None


def _inputs_equal(one: Capsule, two: Capsule) -> bool:
    first, second = (capsule.folder / "tensors.safetensors" for capsule in (one, two))
    plain = (path.is_file() and not path.is_symlink() for path in (first, second))
    return all(plain) and filecmp.cmp(first, second, shallow=False)


def _version(capsule: Capsule) -> Version | None:
    try:
        return Version(Version(capsule.fingerprint.get("torch.version", "")).public)
    except InvalidVersion:
        return None


def _read(folder: Path, *, trust: bool) -> Capsule:
    capsule = read_capsule(folder)
    obstacle = capsule.obstacle(trust=trust)
    if obstacle:
        hint = "Choose another capsule."
        if not trust and capsule.obstacle(trust=True) is None:
            hint = "--trust does it all the same: only for capsules of your own."
        raise RecordingError(f"{folder} cannot be replayed: {obstacle}.", hint=hint)
    if not capsule.outputs:
        raise RecordingError(
            f"{folder} names no outputs: there is nothing to compare.",
            hint="Choose another capsule.",
        )
    return capsule


def _content(folder: Path) -> str:
    """A hash over all that the capsule holds: it names its answers in the results."""
    content = hashlib.sha256()
    for name in ("capsule.json", "tensors.safetensors"):
        with suppress(FileNotFoundError), open_file(folder / name, refusal=RecordingError) as file:
            while block := file.read(_BLOCK):
                content.update(block)
    return content.hexdigest()[:32]
