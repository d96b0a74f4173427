"""The ways to read one very large workspace. Each gives the sessions as it gets hold of them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from . import floors
from .payload import path_of
from .peers import ask_async_base_client, async_base_client, our_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sized

    from .target import Target

    Reader = Callable[[Target, str], AsyncGenerator[Sized]]


async def streamed(target: Target, key: str) -> AsyncGenerator[Sized]:
    async with our_client(target) as client:
        async for session in client.sessions(key):
            yield (session,)


async def listed(target: Target, key: str) -> AsyncGenerator[Sized]:
    async with our_client(target) as client:
        yield (await client.list_sessions(key)).items


async def oci_async(target: Target, key: str) -> AsyncGenerator[Sized]:
    async with async_base_client(target) as client:
        yield await ask_async_base_client(client, key)


async def decoded_whole(target: Target, key: str) -> AsyncGenerator[Sized]:
    path = path_of(key)
    async with aiohttp.ClientSession() as http, http.get(URL(target.url + path, encoded=True)) as response:
        yield floors.decode(await response.read()).items


async def warm_up(read: Reader, target: Target, key: str) -> None:
    async with aclosing(read(target, key)) as parts:
        async for _ in parts:
            pass


READERS: Final[dict[str, Reader]] = {
    "aidp_sessions, streamed": streamed,
    "aidp_sessions, listed": listed,
    "oci AsyncBaseClient": oci_async,
    "floor: msgspec into attrs, whole": decoded_whole,
}
