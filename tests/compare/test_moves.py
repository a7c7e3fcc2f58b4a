"""Which ops pass numbers on, which draw them, which compute."""

from __future__ import annotations

import pytest

from forkpoint.compare import Work, moves_values, work_of

HALF = ("bfloat16", "float32")


@pytest.mark.parametrize(
    "op",
    [
        *("aten.t.default", "aten.as_strided.default", "aten._unsafe_view.default"),
        *("aten.unbind.int", "aten.transpose_.default", "aten.slice_copy.Tensor"),
        *("aten.clone.default", "aten.copy_.default", "aten._to_copy.default"),
        *("aten.cat.default", "aten.stack.default", "aten.embedding.default"),
        *("aten.index_select.default", "aten.gather.default", "aten.index.Tensor"),
        *("aten.flip.default", "aten.roll.default", "aten.constant_pad_nd.default"),
        *("aten.masked_select.default", "aten.where.self", "aten.lift_fresh.default"),
        *("aten._pack_padded_sequence.default", "aten.set_.source_Storage", "prims.transpose.x"),
    ],
)
def test_views_copies_and_permutations_pass_numbers_on(op: str) -> None:
    assert moves_values(op)
    assert work_of(op) is Work.PASSES_ON


@pytest.mark.parametrize(
    "op",
    [
        *("aten.addmm.default", "aten.sum.dim_IntList", "aten.native_layer_norm.default"),
        *("aten.embedding_bag.default", "aten.cumsum.default", "aten.index_put_.default"),
        *("aten.scatter.src", "aten.add_.Tensor", "my.clone.default", "clone", ""),
    ],
)
def test_others_compute_and_so_do_ops_that_nobody_knows(op: str) -> None:
    assert not moves_values(op)
    assert work_of(op) is Work.COMPUTES


def test_a_conversion_computes() -> None:
    def moved(op: str, given: tuple[str, ...], made: str) -> bool:
        return moves_values(op, inputs=given, outputs=(made,))

    assert not moved("aten._to_copy.default", ("float32",), "bfloat16")
    assert moved("aten._to_copy.default", ("float32",), "float32")
    assert not moved("aten.copy_.default", HALF, "bfloat16")
    assert moved("aten.copy_.default", ("float32", "float32"), "float32")
    assert moved("aten.embedding.default", ("float32", "int64"), "float32")
    assert moved("aten.view_as_real.default", ("complex64",), "float32")


def test_of_a_sort_the_numbers_are_passed_on_and_the_order_is_found() -> None:
    assert moves_values("aten.sort.default", slots=(0,))
    assert not moves_values("aten.sort.default", slots=(1,))
    assert not moves_values("aten.topk.default", slots=(0, 1))


def test_random_ops_draw_and_attention_only_with_dropout() -> None:
    assert work_of("aten.randn.default") is Work.DRAWS
    assert work_of("aten.bernoulli_.float") is Work.DRAWS
    attention = "aten._scaled_dot_product_flash_attention_for_cpu.default"
    three = "float32[2,4,8]{32,8,1}, float32[2,4,8]{32,8,1}, float32[2,4,8]{32,8,1}"
    assert work_of(attention, f"{attention}({three})") is Work.COMPUTES
    assert work_of(attention, f"{attention}({three}, 0.0, False)") is Work.COMPUTES
    assert work_of(attention, f"{attention}({three}, scale=0.125)") is Work.COMPUTES
    assert work_of(attention, f"{attention}({three}, 0.1, True)") is Work.DRAWS
    assert work_of("aten.addmm.default", "aten.addmm.default(float32[2]{1}, 0.5)") is Work.COMPUTES
