"""Each error status is one error of its class with all its evidence: the error rows of "Get available sessions"."""

from __future__ import annotations

import pickle
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions import RetryPolicy
from aidp_sessions.errors import (
    InternalServerError,
    NotFoundError,
    ServiceError,
    TooManyRequestsError,
    UnauthorizedError,
)
from aidp_sessions.testing import Fault

from ..helpers.frozen_service import (
    NOW,
    Frozen,
    failed,
    frozen_service,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DATE: Final = formatdate(NOW, usegmt=True)
ERRORS: Final = [
    (400, ServiceError),
    (401, UnauthorizedError),
    (403, ServiceError),
    (404, NotFoundError),
    (418, ServiceError),
    (429, TooManyRequestsError),
    (500, InternalServerError),
    (503, ServiceError),
]


@pytest.fixture
async def frozen() -> AsyncIterator[Frozen]:
    async with frozen_service() as frozen:
        yield frozen


@pytest.mark.parametrize(("status", "cls"), ERRORS)
async def test_each_documented_error_carries_all_its_evidence(
    frozen: Frozen, status: int, cls: type[ServiceError]
) -> None:
    """Class, status, code, message, headers, ids and Retry-After; 400, 403, 418 and 503 represent "default"."""
    fault = Fault(status=status, code="SomeCode", message="Some words.", retry_after=7, headers={"X-Extra": "Kept"})
    frozen.service.fail("analytics", fault)
    error = await failed(frozen.client.with_options(retry=RetryPolicy.none()), opc_request_id="R")

    assert type(error) is cls
    assert (error.status, error.code, error.message) == (status, "SomeCode", "Some words.")
    assert {name: value for name, value in error.headers.items() if name != "server"} == {
        "content-type": "application/json",
        "content-length": str(len(b'{"code":"SomeCode","message":"Some words."}')),
        "date": DATE,
        "opc-request-id": "R",
        "retry-after": "7",
        "x-extra": "Kept",
    }
    assert (error.opc_request_id, error.request_ids, error.retry_after) == ("R", ("R",), 7.0)
    assert (error.operation, error.workspace_key, error.delivered) == ("list_sessions", "analytics", 0)
    assert str(error) == (f"list_sessions of workspace 'analytics': {status} SomeCode: Some words. (opc-request-id R)")


@pytest.mark.parametrize(("status", "attempts"), [(401, 1), (403, 1), (404, 1), (418, 1), (429, 6), (500, 6), (503, 6)])
async def test_an_error_lists_the_id_of_every_attempt(frozen: Frozen, status: int, attempts: int) -> None:
    """Each attempt has its own id, oldest first; `opc_request_id` is the last."""
    frozen.service.fail("analytics", Fault(status=status, times=None))
    error = await failed(frozen.client, opc_request_id="R")

    assert error.request_ids == ("R", "R-2", "R-3", "R-4", "R-5", "R-6")[:attempts]
    assert error.request_ids == tuple(request.headers["opc-request-id"] for request in frozen.service.requests)
    assert error.opc_request_id == error.request_ids[-1]
    assert frozen.pauses == [0.25, 0.5, 1.0, 2.0, 4.0][: attempts - 1]


async def test_an_unknown_workspace_is_a_not_found_error(frozen: Frozen) -> None:
    with pytest.raises(NotFoundError) as caught:
        await frozen.client.list_sessions("nowhere")

    assert (caught.value.workspace_key, caught.value.code) == ("nowhere", "NotAuthorizedOrNotFound")


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_an_error_of_a_call_survives_a_pickle_and_holds_no_secret(frozen: Frozen, status: int) -> None:
    """Neither its text nor its pickle holds the signature that was sent."""
    frozen.service.fail("analytics", Fault(status=status, retry_after=1, times=None))
    error = await failed(frozen.client)
    pickled = pickle.dumps(error)
    back = pickle.loads(pickled)  # noqa: S301  # our own

    assert (type(back), vars(back), str(back)) == (type(error), vars(error), str(error))
    assert b"signature" not in (pickled + repr(error).encode() + str(error).encode()).lower()
