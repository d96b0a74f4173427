"""A browser for the tests of the report page, one per module: it takes half a second to start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from ..helpers.browser import Browser, start_browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with start_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser
