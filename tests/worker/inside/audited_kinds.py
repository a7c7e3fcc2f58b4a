"""Audits of masks of every convention, of packed and permuted rows, and of rows that are mixed."""

from __future__ import annotations

import collections

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from varied_calls import call, only, varied


class Bag(torch.nn.Module):
    """Sums whole numbers over the places that ``reads`` lets through: exact in any order."""

    def __init__(self, reads):
        super().__init__()
        self.register_buffer("table", torch.arange(80.0).reshape(20, 4))
        self.reads = reads

    def forward(self, ids, mask):
        return torch.where(
            self.reads(mask).unsqueeze(-1), self.table[ids], 0.0 * self.table[ids]
        ).sum(1)


IDS = torch.tensor([[3, 5, 7, 1], [2, 9, 0, 0]])
KEEP = IDS != 0
LOWEST = torch.finfo(torch.float32).min
CONVENTIONS = {
    "1 keeps": (KEEP.long(), lambda m: m == 1),
    "true ignores": (~KEEP, lambda m: ~m),
    "additive": ((~KEEP).float() * LOWEST, lambda m: m > -1),
    "infinite": (torch.zeros(2, 4).masked_fill(~KEEP, float("-inf")), lambda m: m > -1),
    "four dimensions": (((~KEEP).float() * LOWEST)[:, None, None], lambda m: m[:, 0, 0] > -1),
    "places by places": (KEEP[:, None].expand(2, 4, 4).contiguous(), lambda m: m[:, 0]),
    "all kept": (torch.zeros(2, 4, dtype=torch.bool), lambda m: ~m),
}


def test_masks_of_every_convention_are_kept_to(tmp):
    for number, (name, (mask, reads)) in enumerate(CONVENTIONS.items()):
        rows, _ = varied(tmp, Bag(reads), call(IDS, mask), padding=[], name="r%d" % number)
        assert [row.get("equal") for row in rows] == [True] * 3, (name, rows)


def test_what_no_reading_of_a_mask_explains_is_not_tried(tmp):
    rows, _ = varied(tmp, Bag(torch.ones_like), call(IDS, KEEP), padding=[6])
    (row,) = rows
    assert "changes the real ones" in row["not_tried"]


def test_padding_is_added_on_the_side_on_which_the_script_pads(tmp):
    class Cumulates(torch.nn.Module):
        def forward(self, ids, attention_mask, position_ids):
            found = (ids * attention_mask).cumsum(1)
            return found * 100 + position_ids

    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    ids = torch.tensor([[9, 9, 5, 6], [1, 2, 3, 4]])
    places = (mask.cumsum(1) - 1).clamp(min=0)
    rows, _ = varied(tmp, Cumulates(), call(ids, mask, position_ids=places), padding=[6])
    (row,) = rows
    assert row["variant"] == "padded from 4 to 6 on the left"
    assert row["equal"] is True


def test_a_causal_model_without_a_mask_is_padded_where_it_leaves_places_out(tmp):
    class Causal(torch.nn.Module):
        def forward(self, ids):
            return ids.cumsum(1)

    rows, _ = varied(tmp, Causal(), call(IDS), padding=[7])
    assert rows[0]["equal"] is True


class Recurrent(torch.nn.Module):
    def __init__(self, kind, both):
        super().__init__()
        self.inner = kind(24, 40, batch_first=True, bidirectional=both)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.inner(packed)[0], batch_first=True)[0]


def test_of_packed_sequences_no_op_that_moves_rows_is_named(tmp):
    x, lengths = torch.randn(5, 7, 24), torch.tensor([3, 7, 5, 2, 6])
    number = 0
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        for both in (False, True):
            number += 1
            with torch.no_grad():
                rows, _ = varied(
                    tmp, Recurrent(kind, both), call(x, lengths), batch=[], position=True,
                    name="r%d" % number,
                )  # fmt: skip
            assert all(row["equal"] is not None for row in rows), rows
            named = {one["op"].split(".")[1] for row in rows for one in row["breaks"]}
            assert named <= {"addmm", "mm", "linear"}, named


def test_packed_arguments_are_packed_again(tmp):
    lengths = torch.tensor([5, 3, 2])
    packed = pack_padded_sequence(torch.randn(3, 5, 4), lengths, batch_first=True)

    class Takes(torch.nn.Module):
        def forward(self, packed):
            return packed._replace(data=packed.data * 2)

    rows, _ = varied(tmp, Takes(), call(packed), batch=[], padding=[])
    assert [row["equal"] for row in only(rows, "batch")] == [True, True]
    assert "packed" in only(rows, "padding")[0]["not_tried"]


def test_rows_in_another_order_are_followed(tmp):
    class Sorts(torch.nn.Module):
        def forward(self, x, lengths):
            return torch.tanh(x[lengths.argsort(descending=True)] * 3)

    x, lengths = torch.randn(5, 3), torch.tensor([2, 5, 1, 4, 3])
    rows, _ = varied(tmp, Sorts(), call(x, lengths), batch=[2, 3], position=True)
    assert all(row["breaks"] == [] for row in rows), rows
    assert all(row["equal"] is True and row["rows"] == "moved" for row in only(rows, "batch")), rows


def test_batch_norm_in_training_mixes_rows(tmp):
    rows, _ = varied(tmp, torch.nn.BatchNorm1d(4), call(torch.randn(6, 4)), batch=[2, 5])
    for row in rows:
        assert row["equal"] is False and row["rows"] == "mixed", row
        assert row["breaks"] == []
        assert "norm" in row["mixing"][0]["op"]


def test_an_op_that_depends_on_the_batch_size_is_proven(tmp):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(384, 384), torch.nn.Tanh())
    with torch.no_grad():
        rows, _ = varied(tmp, model, call(torch.randn(8, 384)), batch=[1, 4])
    for row in rows:
        if row["equal"] is False:  # it depends on the processor and the release
            assert row["rows"] == "own"
            assert [one["op"] for one in row["breaks"]] == ["aten.addmm.default"]
            assert row["breaks"][0]["proof"] == "rounding"


def test_mappings_of_every_kind_are_varied(tmp):
    class Encoding(collections.UserDict):
        pass

    class Takes(torch.nn.Module):
        def forward(self, batch):
            batch["out"] = batch["x"] * 2
            return batch

    given = Encoding(x=torch.randn(4, 3))
    rows, (result,) = varied(tmp, Takes(), call(given), batch=[2], position=True)
    assert all(row["equal"] is True for row in rows), rows
    assert result is given and set(given) == {"x", "out"}


def test_a_loss_is_no_samples_result(tmp):
    class Trains(torch.nn.Module):
        def forward(self, x):
            return {"loss": x.mean(), "logits": x * 2}

    rows, _ = varied(tmp, Trains(), call(torch.randn(6, 3)), batch=[2])
    assert rows[0]["equal"] is True and rows[0]["left_out"] == ["loss"]
