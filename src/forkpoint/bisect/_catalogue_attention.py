"""Attention: causal and with masks, heads as projections leave them, gradients, softmax."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    ALL,
    FLOATS,
    HALF,
    HEADS,
    RARELY,
    Argument,
    Dtype,
    Entry,
    Operand,
    normal,
    positive,
)

_SIZES = (
    (2, 12, 77, 32), (1, 8, 100, 64), (2, 4, 33, 80), (1, 4, 128, 96), (1, 2, 200, 128),
    (1, 2, 9, 40), (2, 4, 16, 8), (1, 6, 64, 64), (1, 1, 7, 64), (3, 2, 31, 33),
)  # fmt: skip
_SHORT = ("float32", *HALF)
"""Attention in float64 is elsewhere; nobody computes it, and it takes the most time."""
_FLASH = "aten._scaled_dot_product_flash_attention_for_cpu.default"
_WHOLE = "aten.scaled_dot_product_attention.default"


def _heads(b: int, h: int, s: int, d: int) -> Operand:
    return Operand((b, h, s, d), order=HEADS)


def _plain() -> list[Entry]:
    """Contiguous heads: each with all keys, causal, and with a mask that is added."""
    found: list[Entry] = []
    sizes = [(b, h, s, d) for b, h, d in ((1, 12, 32), (4, 8, 64)) for s in (1, 7, 63, 64, 70, 128)]
    for b, h, s, d in sizes:
        qkv = (normal(b, h, s, d), normal(b, h, s, d), normal(b, h, s, d))
        for causal in (False, True):
            detail, rarely = ("causal", RARELY) if causal else ("full", 1)
            found.append(
                Entry(
                    _WHOLE,
                    (*qkv, None, 0.0, causal),
                    detail=detail,
                    rarely=rarely,
                )
            )
            found.append(
                Entry(
                    _FLASH,
                    (*qkv, 0.0, causal),
                    detail=detail,
                    rarely=rarely,
                )
            )
        masked = (*qkv, normal(b, 1, s, s))
        found.append(Entry(_WHOLE, masked, detail="mask", rarely=RARELY))
    return found + _of_heads()


def _of_heads() -> list[Entry]:
    """Heads as a projection leaves them in memory, sizes of heads, and fewer queries than keys."""
    found: list[Entry] = []
    for b, h, q, k, d in (
        (2, 12, 77, 77, 32), (1, 8, 1, 100, 64), (2, 4, 33, 65, 80), (1, 4, 128, 128, 96),
        (1, 2, 200, 200, 128), (1, 2, 9, 9, 40), (1, 4, 512, 512, 64),
    ):  # fmt: skip
        query, key, value = (Operand((b, h, n, d), order=HEADS) for n in (q, k, k))
        op = _WHOLE
        found.append(Entry(op, (query, key, value), detail="heads"))
        masked = (query, key, value, normal(b, 1, q, k))
        found.append(Entry(op, masked, detail="heads, mask", rarely=RARELY if q < 200 else 1))
        found.append(
            Entry(
                _FLASH,
                (query, key, value),
                detail="heads",
            )
        )
    flat = (normal(8, 33, 64), normal(8, 40, 64), normal(8, 40, 64))
    found.append(Entry(op, flat, detail="flat"))
    narrow = (normal(2, 4, 33, 64), normal(2, 4, 40, 64), normal(2, 4, 40, 32))
    found.append(Entry(op, narrow, detail="narrow values"))
    grouped = (normal(1, 8, 33, 64), normal(1, 2, 33, 64), normal(1, 2, 33, 64))
    kwargs: dict[str, Argument] = {"enable_gqa": True}
    found.append(Entry(op, grouped, kwargs=kwargs, detail="grouped"))
    return found


def _forwards() -> list[Entry]:
    """Causal, and with a mask that is added, one for all heads and one for each."""
    op = _WHOLE
    found: list[Entry] = []
    for b, h, s, d in _SIZES:
        qkv = (_heads(b, h, s, d),) * 3
        each, shared = normal(b, h, s, s), normal(s, s)
        mask: dict[str, Argument] = {"attn_mask": shared}
        causal = (*qkv, None, 0.0, True)
        found += [
            Entry(op, causal, _SHORT, detail="heads, causal", rarely=RARELY),
            Entry(op, (*qkv, each), _SHORT, detail="heads, a mask each", rarely=RARELY),
            Entry(op, (*qkv, shared), _SHORT, detail="heads, one mask", rarely=RARELY),
            Entry(_FLASH, (*qkv, 0.0, True), _SHORT, detail="heads, causal", rarely=RARELY),
            Entry(_FLASH, qkv, _SHORT, mask, detail="heads, mask"),
        ]
    allowed = Operand((2, 1, 33, 33), fill="integers", high=2, dtype="bool")
    found.append(Entry(op, (*(_heads(2, 4, 33, 64),) * 3, allowed), detail="heads, allowed"))
    kwargs: dict[str, Argument] = {"scale": 0.3}
    found.append(Entry(op, (_heads(2, 4, 33, 64),) * 3, kwargs=kwargs, detail="heads, scaled"))
    return found


def _backwards() -> list[Entry]:
    """Gradients; the sums behind a softmax are float32 where the rest is less."""
    op = "aten._scaled_dot_product_flash_attention_for_cpu_backward.default"
    found: list[Entry] = []
    for b, h, s, d in _SIZES:
        lots = [_heads(b, h, s, d)] * 5
        for dtypes, wide in ((FLOATS, None), (HALF, "float32")):
            sums = Operand((b, h, s), shift=6.0, scale=0.1, dtype=wide)
            for causal in (False, True):
                detail = "causal" if causal else "full"
                found.append(Entry(op, (*lots, sums, 0.0, causal), dtypes=dtypes, detail=detail))
            if s < 128:
                found.append(
                    Entry(
                        op,
                        (*lots, sums, 0.0, False),
                        dtypes=dtypes,
                        kwargs={"attn_mask": normal(s, s)},
                        detail="mask",
                    )
                )
    return found


def _softmaxes() -> list[Entry]:
    """Softmax of the shapes that attention has, and its gradient."""
    found: list[Entry] = []
    for shape in ((2, 4, 33, 33), (1, 12, 77, 77), (3, 1, 300)):
        found += [
            Entry("aten._softmax.default", (normal(*shape), -1, False), detail="of attention"),
            Entry("aten._safe_softmax.default", (normal(*shape), -1)),
        ]
        for op in ("_softmax", "_log_softmax"):
            found.append(Entry(f"aten.{op}.default", (normal(*shape), 1, False), detail="inner"))
    return found + _gradients_of_softmax()


def _gradients_of_softmax() -> list[Entry]:
    found: list[Entry] = []
    for m, n in ((5, 31), (7, 1024), (33, 1000), (128, 77), (1, 30522), (64, 9)):
        for op in ("_softmax", "_log_softmax"):
            name = f"aten.{op}_backward_data.default"
            for dim, detail in ((-1, "last"), (0, "first")):
                args = (normal(m, n), positive(m, n), dim, Dtype())
                found.append(Entry(name, args, dtypes=ALL, detail=detail))
    return found


ATTENTION: tuple[Entry, ...] = (*_plain(), *_forwards(), *_backwards(), *_softmaxes())
"""In the order of reports."""
