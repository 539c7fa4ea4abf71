"""Forty random networks beside PyTorch; ``python -m tests.random_networks 500`` runs more."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("seed", range(40))
def test_three_steps_agree(seed: int) -> None:
    pytest.importorskip("torch")
    from tests.random_networks import compare, draw

    comparison = compare(draw(seed))
    assert comparison.ours
    assert not comparison.failures, comparison.words
