from __future__ import annotations

import pytest

from seqexpr.models import checkpoint, trained


@pytest.mark.parametrize("name", checkpoint.__all__)
def test_names_of_an_earlier_version_are_those_of_trained(name: str) -> None:
    assert getattr(checkpoint, name) is getattr(trained, name)
