"""Shards that the worker wrote, read by the safetensors library."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from safetensors import deserialize

from tests.worker.conftest import ENVIRONMENTS, InsideRun

pytestmark = pytest.mark.integration

RAW = ("complex64", "complex128")  # kept as plain bytes


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_shards_are_safetensors(environment: str, inside: Callable[[str], InsideRun]) -> None:
    run = inside(environment)
    run.check("storing:test_export_shards")
    folder = run.artifacts / "shards"
    lines = [line.split("\t") for line in (folder / "listing").read_text().splitlines()]
    files = {name: dict(deserialize((folder / name).read_bytes())) for name, *_ in lines}
    assert len(lines) > 40
    for file, key, dtype, shape, data in lines:
        entry = files[file][key]
        assert bytes(entry["data"]) == bytes.fromhex(data)
        if dtype not in RAW:
            assert entry["shape"] == [int(size) for size in shape.split(",") if size]
    # nothing but what was put, and equal bits once
    assert sum(len(entries) for entries in files.values()) == len({key for _, key, *_ in lines})
