"""On a small platform, each culler ends the kernels that it should, and only ours spares those that woke up."""

from __future__ import annotations

import pytest

from .culling import CULLERS, Size, measure

SMALL = Size(workspaces=4, kernels_per_workspace=5, sessions_per_kernel=2, idle_share=0.5, waking_share=0.2, latency=0)


@pytest.mark.parametrize("name", CULLERS)
async def test_a_culler_ends_idle_kernels_and_only_ours_spares_those_that_wake_up(name: str) -> None:
    figures = await measure(CULLERS[name], SMALL)

    assert (figures.ended - figures.wrong, figures.left) == (6, 0)
    assert figures.wrong == (0 if name == "aidp_sessions" else 4)
    assert figures.requests > 0
