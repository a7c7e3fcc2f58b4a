"""What is read of the values that modules and watched functions take and return."""

from __future__ import annotations

import threading

import torch

from forkpoint_worker import schema
from support import Recorded, recording


class Returns(torch.nn.Module):
    """Returns whatever it was made with, after the tensor that it is given."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


def returned(tmp, make, name="rec", level="module"):
    """The outermost event and the structure of what a module returns for ``make(ones)``."""
    with recording(tmp, level, name):
        Returns(make)(torch.ones(2, 3))
    seen = Recorded(tmp, name)
    event = seen.of("module")[-1]
    return event, seen.structures[event.id, schema.ROLE_OUT]


def test_plain_values_and_the_structure_are_rows_and_count(tmp):
    one, structure = returned(tmp, lambda x: {"logits": x, "loss": 0.5}, "one")
    two, _ = returned(tmp, lambda x: {"logits": x, "loss": 7.25}, "two")
    three, other = returned(tmp, lambda x: {"scores": x, "loss": 0.5}, "three")
    assert (one.plain, two.plain) == ({"loss": "0.5"}, {"loss": "7.25"})
    assert "logits" in structure and "scores" in other
    assert len({one.digest, two.digest, three.digest}) == 3


def test_a_lone_tensor_stands_for_itself(tmp):
    one, structure = returned(tmp, lambda x: x * 2)
    assert structure == "Tensor"
    assert one.digest == one.outputs[0]["digest"]


def test_what_cannot_be_read_has_a_row_and_is_in_no_digest(tmp):
    one, _ = returned(tmp, lambda x: (x, (x * n for n in range(2))), "one")
    two, _ = returned(tmp, lambda x: (x, (x + n for n in range(3))), "two")
    assert one.unread == two.unread == {"[1]": "generator"}
    assert one.digest == two.digest


def test_threads_are_numbered_as_they_come(tmp):
    net, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    with recording(tmp, "module"):
        for _ in range(2):
            thread = threading.Thread(target=lambda: [net(x) for _ in range(2)])
            thread.start()
            thread.join()
        net(x)
    assert [step["thread"] for step in Recorded(tmp).steps] == [1, 1, 2, 2, 0]
