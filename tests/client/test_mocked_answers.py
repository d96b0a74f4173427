"""Decoding alone, with a mocked network: answers that the local service cannot give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions import RetryPolicy, SessionsClient
from aidp_sessions.errors import NotFoundError, ResponseDecodeError
from aidp_sessions.results import SessionCollection
from aidp_sessions.testing import LocalService

from ..helpers.frozen_service import SESSION, SESSION_MODEL, failed
from ..helpers.mock_responses import mocked_responses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aioresponses import aioresponses

PLATFORM_ID: Final = "ocid1.aidataplatform.oc1.iad.amaaaa"
URL: Final = (
    f"https://aidp.us-ashburn-1.oci.oraclecloud.com/20260430/aiDataPlatforms/{PLATFORM_ID}"
    "/workspaces/analytics/notebook/api/sessions"
)
ANY_PAGE: Final = re.compile(re.escape(URL))


@pytest.fixture
def responses() -> Iterator[aioresponses]:
    with mocked_responses() as mock:
        yield mock


@pytest.fixture
async def client(responses: aioresponses) -> AsyncIterator[SessionsClient]:
    """A client of a host that does not exist."""
    async with SessionsClient(PLATFORM_ID, signer=LocalService().signer, retry=RetryPolicy.none()) as client:
        yield client


async def test_an_answer_without_its_headers_has_neither_id_nor_etag(
    responses: aioresponses, client: SessionsClient
) -> None:
    """Both response headers are optional."""
    responses.get(URL, payload={"items": [SESSION]})

    assert await client.list_sessions("analytics") == SessionCollection(items=(SESSION_MODEL,))


async def test_an_error_without_an_id_has_the_id_that_we_sent(responses: aioresponses, client: SessionsClient) -> None:
    responses.get(URL, status=404, payload={"code": "NotFound", "message": "No."})
    error = await failed(client, opc_request_id="OURS")

    assert (type(error), error.opc_request_id, error.request_ids) == (NotFoundError, "OURS", ("OURS",))
    assert error.headers == {"content-type": "application/json"}


async def test_a_body_larger_than_one_buffer_is_read_whole(responses: aioresponses, client: SessionsClient) -> None:
    items = [{**SESSION, "id": f"session-{number}", "name": "x" * 200} for number in range(3000)]
    responses.get(URL, payload={"items": items})
    found = await client.list_sessions("analytics")

    assert [session.id for session in found] == [item["id"] for item in items]


async def test_pages_become_one_collection(responses: aioresponses, client: SessionsClient) -> None:
    """An empty page is accepted; the id is that of the last page; there is no etag."""
    pages = [
        ([{"id": "1"}], {"opc-next-page": "a", "etag": "E1", "opc-request-id": "R1"}),
        ([], {"opc-next-page": "b", "etag": "E2", "opc-request-id": "R2"}),
        ([{"id": "2"}], {"etag": "E3", "opc-request-id": "R3"}),
    ]
    for items, headers in pages:
        responses.get(ANY_PAGE, payload={"items": items}, headers=headers)
    found = await client.list_sessions("analytics")

    assert ([session.id for session in found], found.etag, found.opc_request_id) == (["1", "2"], None, "R3")


async def test_a_repeated_page_token_is_an_error(responses: aioresponses, client: SessionsClient) -> None:
    responses.get(ANY_PAGE, payload={"items": []}, headers={"opc-next-page": "a"}, repeat=True)
    error = await failed(client, opc_request_id="R")

    assert isinstance(error, ResponseDecodeError)
    assert (error.path, error.request_ids) == ("opc-next-page", ("R", "R-2"))
