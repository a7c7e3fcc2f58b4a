"""From answers to the matrix."""

from __future__ import annotations

from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import Answer, Tried
from tests.bisect.conftest import Printed


def column(version: str, bits: str, *, repeatable: bool = True) -> Column:
    answer = Answer(status="ran", digests=(bits,), repeatable=repeatable)
    tried = Tried(version=version, state="measured")
    return Column(tried=tried, answers=({"value": answer},), sizes=({},))


def test_a_row_that_does_not_repeat_in_one_release_is_compared_in_none() -> None:
    columns = [column("1.0", "x"), column("1.1", "y", repeatable=False), column("1.2", "z")]
    loose = matrix(Printed(), [{}], columns)
    assert [(change.compared, change.rows) for change in loose.changes] == [(0, ()), (0, ())]
    assert loose.rows[0].unrepeatable == ("1.1",)

    firm = matrix(Printed(), [{}], [column("1.0", "x"), column("1.1", "y"), column("1.2", "z")])
    assert [(change.compared, len(change.rows)) for change in firm.changes] == [(1, 1), (1, 1)]
