"""Inside: attention written out gives what torch's own op gives, but for rounding."""

import torch

from forkpoint_worker import settings
from forkpoint_worker.attention import eager

FUSED = torch.nn.functional.scaled_dot_product_attention


def heads():
    return tuple(torch.randn(2, 4, 6, 8) for _ in range(3))


def close(**more):
    given = heads()
    torch.testing.assert_close(eager(*given, **more), FUSED(*given, **more))


def test_plain():
    close()


def test_causal():
    close(is_causal=True)


def test_a_mask_of_numbers():
    close(attn_mask=torch.randn(2, 1, 6, 6))


def test_a_mask_of_switches():
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    close(attn_mask=mask)


def test_an_unknown_argument_is_not_ignored():
    try:
        eager(*heads(), window=3)
    except TypeError as error:
        assert "window" in str(error)
    else:
        raise AssertionError("it was ignored")


def test_the_setting_takes_the_place_of_the_op():
    try:
        settings.apply({"sdpa": "eager"})
        layer = torch.nn.functional.scaled_dot_product_attention
        assert layer is eager
        from torch.utils._python_dispatch import TorchDispatchMode

        class Seen(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                names.append(str(func))
                return func(*args, **(kwargs or {}))

        names = []
        with torch.no_grad(), Seen():
            layer(*heads())
        assert "aten._softmax.default" in names
        assert not any("scaled_dot_product" in name for name in names)
    finally:
        torch.nn.functional.scaled_dot_product_attention = FUSED
