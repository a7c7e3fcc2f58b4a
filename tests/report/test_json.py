from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator, ValidationError

from forkpoint.errors import UsageError
from forkpoint.model import Comparison
from forkpoint.report import from_json, json_schema, to_json
from forkpoint.report.schema import schema_text, shipped_schema
from tests.report import examples

EVERY = pytest.mark.parametrize("make", examples.ALL.values(), ids=examples.ALL)


@EVERY
def test_what_is_written_reads_back(make: Callable[[], Comparison]) -> None:
    comparison = make()
    assert from_json(to_json(comparison)) == comparison
    assert from_json(to_json(comparison, indent=0)) == comparison


@EVERY
def test_what_is_written_follows_the_shipped_schema(make: Callable[[], Comparison]) -> None:
    Draft202012Validator(json.loads(shipped_schema())).validate(json.loads(to_json(make())))


def test_the_shipped_schema_is_up_to_date() -> None:
    assert shipped_schema() == schema_text(), "run: python -m forkpoint.report.schema"
    Draft202012Validator.check_schema(json_schema())


def test_the_schema_refuses_another_verdict() -> None:
    data = json.loads(to_json(examples.demo()))
    data["verdict"] = "fine"
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema()).validate(data)


def test_unknown_fields_are_ignored() -> None:
    data = json.loads(to_json(examples.identical()))
    data["added_later"] = 1
    assert from_json(json.dumps(data)) == examples.identical()


def damaged(**changes: object) -> str:
    return json.dumps(json.loads(to_json(examples.demo())) | changes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "This is not JSON"),
        (b"\xff\xfe", "This is not JSON"),
        ("[]", "Expected `object`"),
        (damaged(verdict="fine"), r"at `\$.verdict`"),
        (damaged(schema="forkpoint.comparison/9"), r"at `\$.schema`"),
        (damaged(steps=[{"index": "0"}]), r"`\$.steps\[0\]"),
        (damaged(heat={"modules": ["a"], "steps": [0], "cells": []}), r"`\$.heat.cells`"),
        (damaged(heat={"modules": ["a"], "steps": [0], "cells": [[]]}), r"cells\[0\]`"),
    ],
)
def test_damage_is_named(data: str | bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        from_json(data)
    assert "--format json" in caught.value.hint


def test_a_key_that_is_no_verdict_is_refused() -> None:
    data = json.loads(to_json(examples.demo()))
    data["shapes"][0]["verdicts"] = {"-r /etc/passwd": 3}
    with pytest.raises(UsageError, match="is no verdict"):
        from_json(json.dumps(data).encode())
