from __future__ import annotations

from collections import Counter

from forkpoint.bisect import catalogue
from forkpoint.bisect._catalogue_entry import (
    ALL,
    CHANNELS_LAST,
    HALF,
    HEADS,
    RARELY,
    Dtype,
    Entry,
    Operand,
    constant,
    normal,
    steps,
)
from forkpoint.bisect.catalogue import BYTES, ENTRIES, calls_of


def test_calls_are_distinct_and_stay_the_same() -> None:
    calls = catalogue(inputs=2)
    assert len({call.digest for call in calls}) == len(calls)
    assert calls == catalogue(inputs=2)


def test_no_two_entries_have_a_row_in_common() -> None:
    assert len({call.row for call in catalogue(inputs=1)}) == sum(
        len(entry.dtypes) for entry in ENTRIES
    )


def test_rare_changes_get_more_inputs_in_half_precision_only() -> None:
    plain = Entry("aten.mm.default", (normal(1, 8), normal(8, 4)))
    rare = Entry("aten.mm.default", (normal(1, 8), normal(8, 4)), rarely=5)
    assert Counter(call.dtype for call in calls_of(plain, 3)) == dict.fromkeys(ALL, 3)
    assert Counter(call.dtype for call in calls_of(rare, 3)) == {
        dtype: 15 if dtype in HALF else 3 for dtype in ALL
    }
    few = {call.digest for call in calls_of(plain, 3)}
    assert few < {call.digest for call in calls_of(rare, 3)}


def test_one_call_is_enough_where_nothing_is_random() -> None:
    made = Entry("aten.linspace.default", (0.0, 1.0, 33), kwargs={"dtype": Dtype()})
    counted = Entry("aten.sum.default", ([constant(2, 5), steps(3, 4)],), rarely=5)
    weighed = Entry("aten.sum.default", ([constant(2, 5), [normal(3)]],))
    for entry, count in ((made, 1), (counted, 1), (weighed, 7)):
        assert set(Counter(call.dtype for call in calls_of(entry, 7)).values()) == {count}


def test_the_rows_that_change_rarely_are_those_of_few_rows_and_of_attention() -> None:
    counts = Counter(call.row for call in catalogue(inputs=4, only=["aten.mm.", "attention.def"]))
    times = "\N{MULTIPLICATION SIGN}"
    assert counts[f"aten.mm.default bfloat16 1{times}384, 384{times}384"] == 4 * RARELY
    assert counts[f"aten.mm.default float32 1{times}384, 384{times}384"] == 4
    assert counts[f"aten.mm.default bfloat16 128{times}384, 384{times}384"] == 4
    heads = ", ".join([f"1{times}12{times}7{times}32"] * 3)
    row = f"aten.scaled_dot_product_attention.default float16 causal {heads}"
    assert counts[row] == 4 * RARELY


def test_fills_that_are_not_random_and_positive_definite_ones() -> None:
    operands = (constant(5, 3), steps(7, 4), Operand((2, 3, 3), fill="definite"))
    (call,) = calls_of(Entry("aten.sum.default", (list(operands),), dtypes=("float32",)), 1)
    first, second, third = (one["fill"] for one in call.document["storages"])
    assert first == {"kind": "constant", "value": {"int": 5}}
    assert second == {"kind": "steps", "step": 7}
    assert (third["kind"], third["size"]) == ("definite", 3)


def test_more_inputs_keep_the_calls_there_were() -> None:
    few = {call.digest for call in catalogue(inputs=1)}
    assert few < {call.digest for call in catalogue(inputs=3)}


def test_every_storage_ends_with_its_tensor() -> None:
    for call in catalogue(inputs=1):
        for tensor in call.document["tensors"]:
            storage = call.document["storages"][tensor["storage"]]
            last = sum((n - 1) * s for n, s in zip(tensor["shape"], tensor["stride"], strict=True))
            assert storage["bytes"] == (last + 1) * BYTES[tensor["dtype"]]


def test_no_two_elements_of_a_tensor_share_memory() -> None:
    for call in catalogue(inputs=1):
        for tensor in call.document["tensors"]:
            reach = 1
            for stride, size in sorted(zip(tensor["stride"], tensor["shape"], strict=True)):
                assert size == 1 or stride >= reach
                reach += (size - 1) * stride


def test_a_memory_order_changes_strides_and_not_the_numbers() -> None:
    shape = (2, 3, 4, 5)
    entries = [
        Entry("aten.relu.default", (operand,))
        for operand in (
            Operand(shape),
            Operand(shape, order=CHANNELS_LAST),
            Operand(shape, order=HEADS),
            Operand(shape, every=2),
        )
    ]
    found = [next(calls_of(entry, 1)).document for entry in entries]
    assert [one["tensors"][0]["stride"] for one in found] == [
        [60, 20, 5, 1],
        [60, 1, 15, 3],
        [60, 5, 15, 1],
        [120, 40, 10, 2],
    ]
    assert len({one["storages"][0]["fill"]["seed"] for one in found}) == 1


def test_a_dtype_argument_is_that_of_the_row() -> None:
    calls = [one for one in catalogue(inputs=1) if one.op == "aten._softmax_backward_data.default"]
    assert {one.dtype for one in calls} == set(ALL)
    assert all(one.document["args"][-1] == {"dtype": one.dtype} for one in calls)


def test_calls_of_earlier_versions_are_still_there() -> None:
    """What was measured once is kept by these digests: a change of them measures all anew."""
    known = {call.row: call.digest for call in catalogue(inputs=1)}
    assert (
        known[
            "aten.addmm.default float32 384, 1\N{MULTIPLICATION SIGN}384, "
            "384\N{MULTIPLICATION SIGN}384"
        ]
        == "d01be4df618fc46b8e8538c2f5c2ae89"
    )
    assert known["aten.relu.default float64 7"] == "4a119bb5240cecd6271f3fc03aaf576f"
