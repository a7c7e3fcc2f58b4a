"""Calls made again with other inputs: what is found, and that the script does not notice."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import os

import torch

from forkpoint_worker import judge
from forkpoint_worker.layouts import Axis, Part, axes, same_bits, take
from forkpoint_worker.session import Session

HEAD = ("step", "module", "inputs")  # all that there is of a step that was merely chosen


def varied(tmp, model, *calls, max_storage=1 << 20, name="rec", **asked):
    """Record calls [(args, kwargs), ...] and vary them; (rows, what the calls returned)."""
    out = os.path.join(tmp, name + ".jsonl")
    variants = dict({"out": out, "steps": None, "limit": 8, "fill": {}}, **asked)
    job = {"level": "bare", "variants": variants, "max_storage": max_storage}
    session = Session(os.path.join(tmp, name), job)
    session.start()
    try:
        results = [model(*args, **kwargs) for args, kwargs in calls]
    finally:
        session.stop("completed")
    if not os.path.exists(out):
        return [], results
    with open(out) as stream:
        rows = [json.loads(line) for line in stream]
    return [row for row in rows if len(row) > len(HEAD)], results


def call(*args, **kwargs):
    return args, kwargs


class ByBatch(torch.nn.Module):
    """Adds what depends on the batch's size, to rows that lie as ``shape`` says."""

    def __init__(self, arrange):
        super().__init__()
        self.arrange = arrange
        self.inner = torch.nn.Identity()

    def forward(self, x):
        flat = self.arrange(x).contiguous()
        return (flat * 2 + 0.5 / x.shape[0]).sum(-1).reshape(-1)[: x.shape[0]]


class Mixes(torch.nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Masked(torch.nn.Module):
    """Sums over places that the mask lets through; ``careless`` lets a term of the length in."""

    def __init__(self, careless=False):
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)
        self.careless = careless

    def forward(self, ids, mask=None):
        found = self.table(ids) * mask.unsqueeze(-1)
        if self.careless:
            found = found + ids.shape[1]
        return found


class Counts(torch.nn.Module):
    """Has state of every kind that is put back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(()))
        self.seen = None

    def forward(self, x):
        self.calls += 1
        self.last = torch.ones(()) * x.shape[0]
        self.seen = x
        self.more = x
        return x * 2


@dataclasses.dataclass
class Holder:
    x: torch.Tensor


class Opens(torch.nn.Module):
    def forward(self, held):
        return held.x * 2


def only(rows, prompt):
    return [row for row in rows if row.get("property") == prompt]


def test_axes_are_read_off_two_shapes():
    assert axes((8, 5, 3), (2, 5, 3), (8, 2)) == (Axis(0, 1),)
    assert axes((40, 3), (10, 3), (8, 2)) == (Axis(0, 5),)
    assert axes((4, 8, 8), (4, 2, 2), (8, 2)) == (Axis(1, 1), Axis(2, 1))
    assert axes((3, 3), (3, 3), (8, 2)) == ()
    assert axes((8, 3), (3, 3), (8, 2)) is None
    assert axes((12, 3), (3, 3), (8, 2)) is None
    assert axes((8, 3), (8, 3, 1), (8, 2)) is None


def test_rows_of_flattened_dimensions_are_found():
    x = torch.arange(24).reshape(4, 3, 2)
    part = Part(4, (3, 1))
    chosen = x[[3, 1]]
    assert same_bits(take(x, (Axis(0, 1),), part, True), chosen)
    assert same_bits(take(x.reshape(12, 2), (Axis(0, 3),), part, True), chosen.reshape(6, 2))
    crossed = x.transpose(0, 1).reshape(12, 2)
    assert same_bits(
        take(crossed, (Axis(0, 3),), part, False), chosen.transpose(0, 1).reshape(6, 2)
    )


def test_bits_are_compared_not_values():
    nan = torch.tensor([float("nan")])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([True]), torch.tensor([True]))
    assert same_bits(torch.tensor([1j]), torch.tensor([1j]))
    assert not same_bits(torch.tensor([1]), torch.tensor([1.0]))


ARRANGED = {
    "rows": lambda x: x,
    "rows by places": lambda x: x.reshape(-1, x.shape[-1]),
    "places by rows": lambda x: x.transpose(0, 1).reshape(-1, x.shape[-1]),
    "second": lambda x: x.transpose(0, 1),
}


def test_the_op_that_depends_on_the_batch_is_found_however_rows_lie(tmp):
    x = torch.randn(6, 5, 3)
    for number, (name, arrange) in enumerate(ARRANGED.items()):
        rows, _ = varied(tmp, ByBatch(arrange), call(x), batch=[1, 4], name="r%d" % number)
        assert [row["variant"] for row in rows] == ["rows 0:1 of 6", "rows 0:4 of 6"]
        for row in rows:
            (found,) = row["breaks"]
            assert (found["op"], found["module"]) == ("aten.add.Tensor", ""), name
            assert abs(found["metrics"]["max_abs"] - 0.5 * abs(1 / 6 - 1 / len_of(row))) < 1e-6


def len_of(row):
    return int(row["variant"].split(":")[1].split()[0])


def test_rows_that_stay_equal_are_equal_in_every_layout(tmp):
    x = torch.randn(6, 5, 4)
    for number, arrange in enumerate(ARRANGED.values()):
        model = Arranged(arrange)
        # of one row nothing has to be copied to lie otherwise: then other ops run
        rows, _ = varied(tmp, model, call(x), batch=[2, 5], position=True, name="r%d" % number)
        assert {row["property"] for row in rows} == {"batch", "position"}
        assert all(set(row["calls"]) == {judge.EQUAL} for row in rows), rows
        assert not any(row["breaks"] for row in rows)


class Arranged(torch.nn.Module):
    def __init__(self, arrange):
        super().__init__()
        self.arrange = arrange

    def forward(self, x):
        return torch.tanh(self.arrange(x) * 2)


def test_an_op_that_depends_on_the_place_is_found(tmp):
    class ByPlace(torch.nn.Module):
        def forward(self, x):
            y = x * 1
            y[0] += 1
            return torch.sin(y)

    rows, _ = varied(tmp, ByPlace(), call(torch.randn(5, 3)), position=True)
    assert [row["variant"] for row in rows] == [
        "rows moved by 1 of 5", "rows moved by 2 of 5", "5 rows reversed",
    ]  # fmt: skip
    assert all(row["equal"] is False for row in rows)


def test_a_result_of_all_rows_is_not_blamed(tmp):
    rows, _ = varied(tmp, Mixes(), call(torch.randn(6, 3)), batch=[2])
    (row,) = rows
    assert row["equal"] is False
    assert row["calls"] == {judge.ALONE: 1, judge.CARRIES: 1}
    assert row["breaks"] == []
    assert row["rows"] == "mixed"
    assert [one["op"] for one in row["mixing"]] == ["aten.mean.dim"]


def test_padding_is_masked_and_filled(tmp):
    ids, mask = torch.randint(1, 10, (3, 5)), torch.ones(3, 5, dtype=torch.int64)
    seen = []
    model = Masked()
    model.table.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    rows, _ = varied(tmp, model, call(ids, mask=mask), padding=[4, 7])
    (row,) = rows
    assert (row["variant"], row["equal"]) == ("padded from 5 to 7", True)
    longest = max(seen, key=lambda t: t.shape[1])
    assert torch.equal(longest[:, :5], ids)
    assert torch.equal(longest[:, 5:], ids[:, 4:].expand(3, 2))


def test_what_lets_padding_in_is_found(tmp):
    ids, mask = torch.randint(1, 10, (3, 5)), torch.ones(3, 5, dtype=torch.bool)
    rows, _ = varied(tmp, Masked(careless=True), call(ids, mask=mask), padding=[8])
    (found,) = rows[0]["breaks"]
    assert found["op"] == "aten.add.Tensor"
    assert abs(found["metrics"]["max_abs"] - 3.0) < 1e-5


def test_padding_without_a_mask_or_a_value_is_not_tried(tmp):
    x = torch.randn(3, 5)
    rows, _ = varied(tmp, torch.nn.Tanh(), call(x), padding=[8])
    assert "mask" in rows[0]["not_tried"]
    rows, _ = varied(tmp, torch.nn.Tanh(), call(x), padding=[8], fill={"mask": 0}, name="two")
    assert "input" in rows[0]["not_tried"]
    rows, _ = varied(tmp, torch.nn.Tanh(), call(x), padding=[8], fill={"input": 0}, name="three")
    assert rows[0]["equal"] is True


def test_crops_give_digests_of_every_module(tmp):
    x = torch.randn(3, 8)
    net = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Sigmoid())
    asked = {"crop": [[1, 0, 4]], "digests": True}
    one, _ = varied(tmp, net, call(x), **asked)
    two, _ = varied(tmp, net, call(torch.cat((x[:, :4], torch.randn(3, 4)), 1)), name="b", **asked)
    assert [row["variant"] for row in one] == ["unchanged", "dimension 1 cropped to 0:4"]
    ops = [
        ["0", "aten.tanh.default"],
        ["0", ""],
        ["1", "aten.sigmoid.default"],
        ["1", ""],
        ["", ""],
    ]
    assert all([given[:2] for given in row["digests"]] == ops for row in one)
    assert one[1]["digests"] == two[1]["digests"]
    assert one[0]["digests"] != two[0]["digests"]


def test_a_crop_that_the_module_refuses_leaves_the_others_their_digests(tmp):
    net = torch.nn.Linear(8, 2)
    asked = {"crop": [[1, 0, 4], [0, 0, 2]], "digests": True}
    unchanged, narrow, short = varied(tmp, net, call(torch.randn(3, 8)), **asked)[0]
    assert unchanged["variant"] == "unchanged"
    assert "RuntimeError" in narrow["not_tried"] and "digests" not in narrow
    assert [given[0] for given in short["digests"]][-1] == ""


def test_one_crop_that_does_not_fit_leaves_the_others(tmp):
    asked = {"crop": [[1, 0, 8], [1, 0, 9], [1, 0, 3]]}
    rows, _ = varied(tmp, torch.nn.Tanh(), call(torch.randn(3, 8)), **asked)
    assert [row.get("variant") for row in rows] == [None, None, "dimension 1 cropped to 0:3"]
    assert "0:8 already" in rows[0]["not_tried"]
    assert "no part" in rows[1]["not_tried"]


class ByRange(torch.nn.Module):
    """Has one result for a batch of 1, one for 2 and 3, and one for more."""

    def forward(self, x):
        rows = x.shape[0]
        return x + (0 if rows == 1 else 1 if rows < 4 else 2)


def test_sizes_with_one_result_share_it(tmp):
    rows, _ = varied(tmp, ByRange(), call(torch.randn(6, 3)), batch=[1, 2, 3, 4, 5])
    assert [row["size"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["equal"] for row in rows] == [False, False, False, True, True]
    one, two, three, four, five = (row["shared"] for row in rows)
    assert two == three and four == five
    assert len({one, two, four}) == 3


def test_lengths_share_the_places_that_were_there(tmp):
    ids, mask = torch.randint(1, 10, (3, 5)), torch.ones(3, 5, dtype=torch.int64)
    rows, _ = varied(tmp, Masked(), call(ids, mask=mask), padding=[6, 9])
    assert rows[0]["shared"] == rows[1]["shared"] is not None
    rows, _ = varied(tmp, Masked(careless=True), call(ids, mask=mask), padding=[6, 9], name="two")
    assert rows[0]["shared"] != rows[1]["shared"]


def test_another_order_has_no_size(tmp):
    rows, _ = varied(tmp, torch.nn.Tanh(), call(torch.randn(4, 3)), position=True)
    assert {(row["size"], row["shared"]) for row in rows} == {(None, None)}


def test_one_step_of_each_input_shape_within_the_limit(tmp):
    calls = [call(torch.randn(n, 3)) for n in (4, 4, 5, 6)]
    rows, _ = varied(tmp, torch.nn.Tanh(), *calls, batch=[2])
    assert [row["step"] for row in rows] == [0, 2, 3]
    rows, _ = varied(tmp, torch.nn.Tanh(), *calls, batch=[2], steps=[[1, 3]], name="two")
    assert [row["step"] for row in rows] == [1, 2]
    rows, _ = varied(tmp, torch.nn.Tanh(), *calls, batch=[2], limit=1, name="three")
    assert [row["step"] for row in rows] == [0]


def test_little_room_takes_more_calls_and_finds_the_same(tmp):
    x, found = torch.randn(6, 5, 3), []
    for number, room in enumerate((1 << 20, 1000, 100)):
        model = ByBatch(ARRANGED["rows by places"])
        calls = itertools.count()
        model.inner.register_forward_hook(lambda *_, calls=calls: next(calls))
        rows, _ = varied(tmp, model, call(x), batch=[2], max_storage=room, name="r%d" % number)
        found.append((rows[0]["equal"], rows[0]["breaks"], rows[0]["calls"]))
    assert found[0] == found[1]
    assert found[2][0] is False
    assert judge.ROOM in found[2][2]


def test_the_script_does_not_notice(tmp):
    x = torch.randn(4, 3)
    torch.manual_seed(3)
    rows, (result,) = varied(tmp, Counts(), call(x), batch=[], position=True)
    assert rows and "refused" not in rows[0]
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))
    model = Counts()
    before = model.last
    _, (result,) = varied(tmp, model, call(x), batch=[], position=True, name="two")
    assert torch.equal(result, x * 2)
    assert (model.calls.item(), model.last.item()) == (1.0, 4.0)
    assert model.seen is x and model.more is x
    assert model.last is not before


def test_inputs_stay_the_scripts_own(tmp):
    class Writes(torch.nn.Module):
        def forward(self, x):
            return x.add_(1) * 2

    x = torch.zeros(4, 3)
    rows, (result,) = varied(tmp, Writes(), call(x), batch=[2])
    assert torch.equal(x, torch.ones(4, 3))
    assert torch.equal(result, torch.full((4, 3), 2.0))
    assert rows[0]["equal"] is True


def test_what_cannot_be_repeated_is_refused(tmp):
    class Remembers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.held = []

        def forward(self, x):
            self.held.append(1)
            return x * len(self.held)

    x = torch.randn(4, 3)
    expected = {
        "draws random numbers (it is in training mode)": torch.nn.Dropout(0.5),
        "gave other bits": Remembers(),
    }
    for number, (why, model) in enumerate(expected.items()):
        rows, _ = varied(tmp, model, call(x), batch=[2], name="r%d" % number)
        assert len(rows) == 1
        assert why in rows[0]["refused"]


def test_inputs_that_cannot_be_copied_are_refused(tmp):
    class Takes(torch.nn.Module):
        def forward(self, x, more):
            return x * 2

    x = torch.ones(4)
    rows, (result,) = varied(tmp, Takes(), call(x, (n for n in range(2))), batch=[2])
    assert "cannot be copied" in rows[0]["refused"]
    assert torch.equal(result, torch.full((4,), 2.0))


def test_dataclasses_are_varied(tmp):
    rows, (result,) = varied(tmp, Opens(), call(Holder(torch.ones(4))), batch=[2])
    assert rows[0]["equal"] is True
    assert torch.equal(result, torch.full((4,), 2.0))


def test_tensors_in_containers_are_varied(tmp):
    Pair = collections.namedtuple("Pair", ["one", "two"])

    class Takes(torch.nn.Module):
        def forward(self, pair, many, named):
            assert type(pair) is Pair
            return pair.one + pair.two + many[0] + many[1][0] + named["x"]

    x = torch.randn(4, 3)
    for number, named in enumerate(({"x": x}, collections.OrderedDict(x=x))):
        rows, _ = varied(
            tmp, Takes(), call(Pair(x, x), [x, (x,)], named=named), batch=[2], name="r%d" % number
        )
        assert rows[0]["equal"] is True, rows
    mine = type("Mine", (dict,), {"__init__": lambda self: None})()
    mine["x"] = x
    rows, _ = varied(tmp, Takes(), call(Pair(x, x), [x, (x,)], mine), batch=[2], name="mine")
    assert rows[0]["equal"] is True


def test_a_model_that_wants_its_batch_says_so(tmp):
    class Wants(torch.nn.Module):
        def forward(self, x):
            if x.shape[0] != 4:
                raise ValueError("four rows, please")
            return x * 2

    rows, _ = varied(tmp, Wants(), call(torch.randn(4, 3)), batch=[2], position=True)
    assert all("four rows, please" in row["not_tried"] for row in rows)
    assert {row["property"] for row in rows} == {"batch", "position"}


def test_gradients_are_the_scripts_own(tmp):
    model = torch.nn.Linear(3, 3)
    x = torch.randn(4, 3)
    _, (result,) = varied(tmp, model, call(x), batch=[], position=True)
    result.sum().backward()
    twin = torch.nn.Linear(3, 3)
    twin.load_state_dict(model.state_dict())
    twin(x).sum().backward()
    assert torch.equal(model.weight.grad, twin.weight.grad)
