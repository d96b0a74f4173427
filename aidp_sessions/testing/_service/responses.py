"""Responses as plain values: bodies, headers and the service's form of errors. No I/O."""

from __future__ import annotations

import json
from datetime import UTC
from http.client import responses
from typing import TYPE_CHECKING, Final

import attrs

from ..._convert.wire_format import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

JSON: Final = "application/json"

_CREDENTIALS: Final = frozenset({"authorization", "opc-obo-token"})
_CODES: Final = {
    400: ("InvalidParameter", "The request holds an invalid parameter."),
    401: ("NotAuthenticated", "The required information to complete authentication was missing or incorrect."),
    403: ("NotAuthorized", "You are not allowed to perform this operation."),
    404: ("NotAuthorizedOrNotFound", "Authorization failed or requested resource not found."),
    405: ("MethodNotAllowed", "This method is not served here."),
    409: ("IncorrectState", "The resource is in a state that does not allow this operation."),
    412: ("NoEtagMatch", "The resource has changed since it was read."),
    429: ("TooManyRequests", "Too many requests, slow down."),
    500: ("InternalServerError", "An internal server error occurred."),
    501: ("MethodNotImplemented", "The operation is not implemented."),
    503: ("ServiceUnavailable", "The service is currently unavailable."),
}


@attrs.frozen
class StubResponse:
    """One HTTP response, header names in lower case, before any fault or transfer encoding."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def or_not_modified(self, if_none_match: str) -> StubResponse:
        """Return this response, or a 304 without body if *if_none_match* names its etag."""
        if not matches_etag(if_none_match, self.headers.get("etag")):
            return self
        return StubResponse(304, b"", {name: value for name, value in self.headers.items() if name != "content-type"})

    def head(self) -> bytes:
        """The status line and headers as bytes, for connections that are cut."""
        headers = {**self.headers, "content-length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", *(f"{name}: {headers[name]}" for name in headers)]
        return "\r\n".join([*lines, "", ""]).encode()


class HttpError(Exception):
    """Answer with an error: *status*, and the documented code and message unless others are given."""

    def __init__(self, status: int, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(status, message)
        self.response = error_response(status, code, message)


def json_response(document: object, headers: Mapping[str, str] | None = None) -> StubResponse:
    return StubResponse(200, to_json(document), {"content-type": JSON, **(headers or {})})


def error_response(status: int, code: str | None = None, message: str | None = None) -> StubResponse:
    """An error in the documented form, schema ``Error``; "API Errors" of the OCI documentation lists the codes."""
    usual_code, usual_message = _CODES.get(status, (_phrase(status).replace(" ", ""), f"{_phrase(status)}."))
    document = {"code": code or usual_code, "message": message or usual_message}
    return StubResponse(status, to_json(document), {"content-type": JSON})


def to_json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def timestamp(moment: datetime) -> str:
    return format_timestamp(moment.astimezone(UTC), "milliseconds")


def matches_etag(condition: str, etag: str | None) -> bool:
    """Whether *condition*, a value of ``If-Match`` or ``If-None-Match``, names *etag*."""
    named = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
    return etag is not None and (etag in named or "*" in named)


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in _CREDENTIALS}


def _phrase(status: int) -> str:
    return responses.get(status, "Unknown Error")
