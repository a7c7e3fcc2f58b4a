"""The comparison as JSON: the contract for machines, written and read back by msgspec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import msgspec

from forkpoint.audit import SCHEMA as AUDIT_SCHEMA
from forkpoint.audit import Audit
from forkpoint.bisect import BISECT_SCHEMA, HISTORY_SCHEMA, Bisection, History
from forkpoint.errors import UsageError
from forkpoint.inert import HIDDEN, encodable
from forkpoint.model import ARTIFACTS_SCHEMA, SCHEMA, ArtifactComparison, Comparison, Verdict
from forkpoint.untrusted import read_file

LARGEST = 1 << 28
"""Bytes of a result that is read: a long run's heat map takes some millions."""

_AGAIN = "Write it again with `forkpoint diff BASELINE CANDIDATE --format json`."


def to_json(comparison: Comparison, *, indent: int = 2) -> bytes:
    """UTF-8 JSON with a final newline; ``indent`` 0 gives a single line."""
    encoded = encoded_json(comparison)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded) + b"\n"


def from_json(data: bytes | str) -> Comparison:
    """Read what `to_json` wrote; unknown fields are ignored.

    Raises `UsageError` that names the place where the data is not what the schema asks for.
    """
    try:
        comparison = msgspec.json.decode(data, type=Comparison)
    except msgspec.ValidationError as error:
        raise UsageError(f"This is not a {SCHEMA} result: {error}.", hint=_AGAIN) from error
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"This is not JSON: {error}.", hint=_AGAIN) from error
    _check_heat(comparison)
    _check_verdicts(comparison)
    return comparison


def read_comparison(path: Path, *, named: bool = False) -> Comparison:
    """The result in a file, which the user may have ``named`` himself (then it may be a link).

    Raises `UsageError` for a file that is none, `FileNotFoundError` where it is not there.
    """
    try:
        return from_json(read_file(path, most=LARGEST, named=named))
    except UsageError as error:
        if str(path) in error.message:
            raise
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error


def artifacts_to_json(result: ArtifactComparison) -> bytes:
    """A comparison of files as UTF-8 JSON with a final newline."""
    return msgspec.json.format(encoded_json(result), indent=2) + b"\n"


def encoded_json(value: object) -> bytes:
    """JSON of any result in UTF-8, inert on a terminal.

    What has no ink is written as JSON's own escapes; text that UTF-8 cannot hold (names of
    files that are no text) is spelled out, as in every other format.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_encodable(msgspec.to_builtins(value)))
    if encoded.isascii():
        return encoded
    return HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], encoded.decode()).encode()


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value


def json_schema() -> dict[str, object]:
    """JSON Schema (draft 2020-12) of what `to_json` writes, made from the model's classes."""
    return _schema(Comparison, "comparison", SCHEMA)


def artifacts_schema() -> dict[str, object]:
    """JSON Schema of what `artifacts_to_json` writes."""
    return _schema(ArtifactComparison, "artifacts", ARTIFACTS_SCHEMA)


def audit_schema() -> dict[str, object]:
    """JSON Schema of an audit's JSON."""
    return _schema(Audit, "audit", AUDIT_SCHEMA)


def history_schema() -> dict[str, object]:
    """JSON Schema of a history's JSON."""
    return _schema(History, "history", HISTORY_SCHEMA)


def bisect_schema() -> dict[str, object]:
    """JSON Schema of a bisection's JSON."""
    return _schema(Bisection, "bisect", BISECT_SCHEMA)


def _schema(kind: type, name: str, title: str) -> dict[str, object]:
    (root,), definitions = msgspec.json.schema_components([kind])
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:forkpoint:{name}:1",
        "title": title,
        **root,
        "$defs": definitions,
    }
    # to plain JSON types: what is returned is equal to what a file of it reads back as
    return cast("dict[str, object]", msgspec.json.decode(msgspec.json.encode(schema)))


def _check_verdicts(comparison: Comparison) -> None:
    """Verdicts that are keys are plain text for the decoder."""
    known = {str(verdict) for verdict in Verdict}
    for i, row in enumerate(comparison.shapes):
        for name in row.verdicts.keys() - known:
            raise UsageError(
                f"{name[:40]!r} is no verdict - at `$.shapes[{i}].verdicts`.", hint=_AGAIN
            )


def _check_heat(comparison: Comparison) -> None:
    """The one invariant that a schema cannot state: the heat map is a full grid."""
    heat = comparison.heat
    if len(heat.cells) != len(heat.steps):
        raise UsageError(
            f"The heat map is damaged: {len(heat.steps)} steps and {len(heat.cells)} rows "
            "- at `$.heat.cells`.",
            hint=_AGAIN,
        )
    for i, row in enumerate(heat.cells):
        if len(row) != len(heat.modules):
            raise UsageError(
                f"The heat map is damaged: {len(heat.modules)} modules and {len(row)} cells "
                f"- at `$.heat.cells[{i}]`.",
                hint=_AGAIN,
            )
