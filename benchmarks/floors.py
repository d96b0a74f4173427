"""Minimal programs written by hand: they do what is timed and nothing else."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from datetime import datetime  # noqa: TC003  # msgspec reads the annotations
from email.utils import formatdate
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import aiohttp
import attrs
import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from yarl import URL

from .fan_out import in_workers
from .payload import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from .fan_out import FanOut
    from .target import Target

_SIGNED = "date (request-target) host"


@attrs.frozen
class FloorKernel:
    name: str
    id: str | None = None
    execution_state: str | None = None
    last_activity: datetime | None = None
    connections: int | None = None


@attrs.frozen
class FloorSession:
    """With JSON names, because msgspec does not rename fields of attrs classes."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    type: str | None = None
    cluster_id: str | None = None
    agentFlowKey: str | None = None  # noqa: N815
    lifecycleState: str | None = None  # noqa: N815
    kernel: FloorKernel | None = None


@attrs.frozen
class FloorCollection:
    items: list[FloorSession]


decode = msgspec.json.Decoder(FloorCollection).decode


def _signing(target: Target) -> Callable[[str], dict[str, str]]:
    key = cast("rsa.RSAPrivateKey", serialization.load_pem_private_key(target.pem.encode(), None))
    host, key_id = urlsplit(target.url).netloc, target.key_id
    pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()

    def sign(path: str) -> dict[str, str]:
        date = formatdate(usegmt=True)
        signature = key.sign(f"date: {date}\n(request-target): get {path}\nhost: {host}".encode(), pkcs1, sha256)
        return {
            "accept": "application/json",
            "date": date,
            "host": host,
            "authorization": f'Signature algorithm="rsa-sha256",headers="{_SIGNED}",keyId="{key_id}",'
            f'signature="{b64encode(signature).decode()}",version="1"',
        }

    return sign


@contextlib.asynccontextmanager
async def signed_and_decoded(target: Target) -> AsyncIterator[FanOut]:
    """Sign in line, send with aiohttp, decode with msgspec straight into attrs classes."""
    sign = _signing(target)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def ask(key: str) -> int:
            path = path_of(key)
            async with http.get(URL(target.url + path, encoded=True), headers=sign(path)) as response:
                return len(decode(await response.read()).items)

        yield in_workers(ask)


@contextlib.asynccontextmanager
async def fetched(target: Target) -> AsyncIterator[FanOut]:
    """Send with aiohttp only, without signing and decoding."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def ask(key: str) -> int:
            async with http.get(URL(target.url + path_of(key), encoded=True)) as response:
                return (await response.read()).count(b'"kernel"')

        yield in_workers(ask)
