"""numpy where torch can use it; otherwise the test that asks is skipped."""

from __future__ import annotations

import unittest

import torch


def get():
    try:
        import numpy

        torch.from_numpy(numpy.zeros(1))
    except (ImportError, RuntimeError):
        raise unittest.SkipTest("torch has no numpy here") from None
    return numpy
