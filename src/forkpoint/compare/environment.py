"""What is not the same in two environments: first what the user set, packages last."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from forkpoint.model import EnvironmentDifference
from forkpoint.store import Manifest, Recording

_VARIABLE, _SETTING, _ARGUMENTS, _PACKAGE = "variable.", "setting.", "arguments", "package."


def environment_differences(
    baseline: Recording, candidate: Recording
) -> tuple[EnvironmentDifference, ...]:
    """Entries of the fingerprints, settings and arguments that are not the same on both sides.

    Variables, settings and arguments go first, as the user sets them; packages go last.
    """
    one, two = _entries(baseline.manifest), _entries(candidate.manifest)
    return tuple(
        EnvironmentDifference(
            key=key, baseline=one.get(key), candidate=two.get(key), asked=_rank(key) == 0
        )
        for key in sorted(one.keys() | two.keys(), key=lambda key: (_rank(key), key))
        if one.get(key) != two.get(key)
    )


def _entries(manifest: Manifest) -> Mapping[str, str]:
    settings = {_SETTING + name: str(value) for name, value in manifest.settings.items()}
    arguments = {_ARGUMENTS: shlex.join(manifest.argv)} if manifest.argv else {}
    return {**manifest.fingerprint, **settings, **arguments}


def _rank(key: str) -> int:
    if key == _ARGUMENTS or key.startswith((_VARIABLE, _SETTING)):
        return 0
    return 2 if key.startswith(_PACKAGE) else 1
