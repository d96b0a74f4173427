"""What no request can be made of is refused by name, before anything is sent, and without showing a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from aidp_sessions.testing import LocalService


BAD: Final[dict[str, tuple[type[Exception], str, dict[str, Any]]]] = {
    "an unknown method": (ValueError, "method='OPTIONS'", {"method": "OPTIONS"}),
    "a method in small letters": (ValueError, "in capitals", {"method": "get"}),
    "an injected method": (ValueError, "method", {"method": "GET / HTTP/1.1\r\nx: y"}),
    "no path": (ValueError, "empty segment", {"path": ""}),
    "the root": (ValueError, "empty segment", {"path": "/"}),
    "another host": (ValueError, "empty segment", {"path": "//evil.example/x"}),
    "a URL": (ValueError, "empty segment", {"path": "https://evil.example/x"}),
    "a way up": (ValueError, "a segment of path", {"path": "x/../y"}),
    "a hidden way up": (ValueError, "a segment of path", {"path": "x/%2e%2E/y"}),
    "a dot": (ValueError, "a segment of path", {"path": "./y"}),
    "a query in the path": (ValueError, "parameters go into query", {"path": "x?y=z"}),
    "a fragment": (ValueError, "cannot be sent", {"path": "x#y"}),
    "a space": (ValueError, "other characters into segments", {"path": "x y"}),
    "a line break": (ValueError, "cannot be sent", {"path": "x\r\ny: z"}),
    "a hidden line break": (ValueError, "control characters", {"path": "x%0D%0A"}),
    "half an escape": (ValueError, "cannot be sent", {"path": "100%"}),
    "letters of other scripts": (ValueError, "cannot be sent", {"path": "é"}),
    "bytes for a path": (TypeError, "path must be a string", {"path": b"x"}),
    "a missing segment": (ValueError, "segments has no 'b'", {"path": "{b}"}),
    "half a name": (ValueError, "cannot be sent", {"path": "x{b}", "segments": {"b": "1"}}),
    "a segment too many": (ValueError, "has no {b}", {"segments": {"b": "1"}}),
    "a segment that leads up": (ValueError, "b='..'", {"path": "{b}", "segments": {"b": ".."}}),
    "a blank segment": (ValueError, "b=' '", {"path": "{b}", "segments": {"b": " "}}),
    "a number for a segment": (TypeError, "b must be a string", {"path": "{b}", "segments": {"b": 1}}),
    "a query as text": (TypeError, "query must be a mapping", {"query": "a=b"}),
    "a number in the query": (TypeError, "query parameter 'a'", {"query": {"a": 1}}),
    "numbers in the query": (TypeError, "a must be a string", {"query": {"a": [1]}}),
    "a number as a name": (TypeError, "the name of a query parameter", {"query": {1: "a"}}),
    "half a character": (ValueError, "lone surrogate", {"query": {"a": "\ud800"}}),
    "two bodies": (TypeError, "either json or body", {"method": "POST", "json": {}, "body": b""}),
    "text for a body": (TypeError, "body must be bytes, not str", {"method": "POST", "body": "x"}),
    "a body with GET": (ValueError, "GET has no body", {"body": b""}),
    "JSON with DELETE": (ValueError, "DELETE has no body", {"method": "DELETE", "json": {}}),
    "what JSON lacks": (ValueError, "JSON", {"method": "POST", "json": float("nan")}),
    "what is not JSON": (TypeError, "JSON", {"method": "POST", "json": object()}),
    "half a character in JSON": (ValueError, "surrogates", {"method": "POST", "json": "\ud800"}),
    "an injected header": (ValueError, "'x' must be a token", {"headers": {"x": "y\r\nz: canary"}}),
    "an injected name": (ValueError, "must be a token", {"headers": {"x: y\r\nz": "canary"}}),
    "a blank header": (ValueError, "'x' must be a token", {"headers": {"x": " "}}),
    "a header in other scripts": (ValueError, "'x' must be a token", {"headers": {"x": "canary é"}}),
    "a number for a header": (TypeError, "'x' must be a string", {"headers": {"x": 1}}),
    "a header twice": (ValueError, "given twice", {"headers": {"x": "1", "X": "2"}}),
    **{
        f"the header {name}": (ValueError, f"header '{name}' cannot be given", {"headers": {name: "canary"}})
        for name in (
            *("Authorization", "date", "x-date", "Host", "Content-Length", "x-content-sha256", "opc-obo-token"),
            *("Cookie", "Proxy-Authorization", "Transfer-Encoding", "Connection", "opc-request-id"),
        )
    },
    "a bad request id": (ValueError, "opc_request_id", {"opc_request_id": "a/b"}),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_before_anything_is_sent(service: LocalService, case: str) -> None:
    kind, message, arguments = BAD[case]
    async with service.client() as client:
        with pytest.raises(kind) as caught:
            await client.request(**{"method": "GET", "path": "x", **arguments})

    assert message in str(caught.value)
    assert "canary" not in str(caught.value)
    assert service.request_count == 0
