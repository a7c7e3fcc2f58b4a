from __future__ import annotations

from math import prod

from forkpoint.bisect import catalogue
from forkpoint.bisect.catalogue import BYTES


def test_calls_are_distinct_and_stay_the_same() -> None:
    calls = catalogue(inputs=2)
    assert len({call.digest for call in calls}) == len(calls)
    assert len({call.row for call in calls}) * 2 == len(calls)
    assert calls == catalogue(inputs=2)


def test_more_inputs_keep_the_calls_there_were() -> None:
    few = {call.digest for call in catalogue(inputs=1)}
    assert few < {call.digest for call in catalogue(inputs=3)}


def test_every_storage_holds_its_tensor() -> None:
    for call in catalogue(inputs=1):
        for tensor in call.document["tensors"]:
            storage = call.document["storages"][tensor["storage"]]
            assert storage["bytes"] == prod(tensor["shape"]) * BYTES[tensor["dtype"]]
            last = sum((n - 1) * s for n, s in zip(tensor["shape"], tensor["stride"], strict=True))
            assert last + 1 == prod(tensor["shape"])
