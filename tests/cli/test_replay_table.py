from __future__ import annotations

import io

from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from forkpoint import api
from forkpoint.cli.replay import _render


def replayed(environment: str, **changes: object) -> api.CapsuleReplay:
    facts: dict[str, object] = {
        "capsule": "forkpoint-results/encode-20261124-101500/capsules/01-native_layer_norm/old",
        "op": "aten.native_layer_norm.default",
        "environment": environment,
        "status": "ran",
        "reason": None,
        "equal": True,
        "repeatable": True,
        "max_abs": 0.0,
        "max_ulp": 0,
    }
    return api.CapsuleReplay(**{**facts, **changes})  # type: ignore[arg-type]


def test_the_table_reads_well_in_80_columns(snapshot: SnapshotAssertion) -> None:
    found = (
        replayed("old"),
        replayed("new", equal=False, max_abs=1.91e-6, max_ulp=61090, repeatable=False),
        replayed(
            "old",
            capsule="capsules/02-\x1b[31mred/old",
            op="mine.op.default",
            status="no_such_op",
            reason="torch 2.9.1 does not have it",
            equal=None,
            max_abs=None,
            max_ulp=None,
        ),
    )
    console = Console(file=io.StringIO(), width=80, color_system=None)
    _render(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "\x1b" not in text
    assert "\n".join(line.rstrip() for line in text.splitlines()) == snapshot
