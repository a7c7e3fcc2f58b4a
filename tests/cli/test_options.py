from __future__ import annotations

import pytest

from forkpoint.cli._options import read_environment
from forkpoint.environments import Config


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("torch>=2.10", "reader"),
        ("torch~=2.10 numpy", "reader"),
        ("torch!=2.9", "reader"),
        ("torch==2.10.0", "reader"),
        ("torch", "reader"),
        ("threads=1 torch>=2.10", "reader"),
        ("old=torch>=2.10", "old"),
    ],
)
def test_requirements_alone_get_the_name_that_is_offered(text: str, name: str) -> None:
    spec = read_environment(text, "reader", Config())
    assert spec.name == name
    assert any(one.startswith("torch") for one in spec.requirements)
