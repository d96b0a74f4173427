"""Requests for operations that have no method of their own: checks what the caller gave, and sends nothing."""

from __future__ import annotations

import json as _json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

from .._checks import check_string
from ..auth.signing import BODY_METHODS, METHODS
from ..results import Headers
from .encoding import FIELD_VALUE, path_segment, percent_encode
from .messages import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

Query = Mapping[str, str | Sequence[str] | None]

_NAME: Final = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
_SEGMENT: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+"  # RFC 3986, 3.3
_FIELD_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # RFC 9110, 5.6.2
_OURS: Final = {
    **dict.fromkeys(("authorization", "date", "x-date", "host"), "signing sets it"),
    **dict.fromkeys(("content-length", "x-content-sha256"), "it follows from the body"),
    **dict.fromkeys(("opc-obo-token", "cookie", "proxy-authorization"), "it holds credentials, which are the signer's"),
    **dict.fromkeys(("connection", "transfer-encoding", "upgrade", "expect", "te", "trailer"), "the transport sets it"),
    "opc-request-id": "use opc_request_id",
}
_SET_PER_REQUEST: Final = r"(accept|accept-encoding|content-.+|if-.+|range|user-agent|opc-client-.+|opc-retry-token)"


def prepare(  # noqa: PLR0917  # those of `SessionsClient.request`
    platform: tuple[str, str],
    method: str,
    path: str,
    segments: Mapping[str, str],
    query: Query,
    json: object,
    body: bytes | None,
    headers: Mapping[str, str],
) -> tuple[Request, str]:
    """Check and encode everything; *platform* is the platform's path and route. Raises `ValueError` or `TypeError`.

    Beside the request it returns its route: the path with the names of its segments, as the caller wrote it.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} must be one of {', '.join(sorted(METHODS))}, in capitals")
    if "://" in check_string(path, "path"):
        raise ValueError(f"path={path!r} must be a path, not a URL; a client sends to one endpoint only")
    parts = path.removeprefix("/").split("/")
    given = dict(segments)
    target = "/".join([_encoded(part, path, given) for part in parts])
    unused = given.keys() - {name[1] for part in parts if (name := re.fullmatch(_NAME, part))}
    if unused:
        raise ValueError(f"path={path!r} has no {{{min(unused)}}}, but a segment of that name was given")
    prefix, route = ("", "") if path.startswith("/") else platform
    question = "&".join(_pairs(query))
    target = f"{prefix}/{target}?{question}" if question else f"{prefix}/{target}"
    data, sent = _content(method, json, body)
    request = Request(target, {**sent, **_checked(headers)}, method=method, body=data, accept_2xx=True)
    return request, f"{route}/{'/'.join(parts)}"


def _encoded(part: str, path: str, segments: Mapping[str, str]) -> str:
    if name := re.fullmatch(_NAME, part):
        if name[1] not in segments:
            raise ValueError(f"path={path!r} has a segment {part}, but segments has no {name[1]!r}")
        return path_segment(segments[name[1]], name[1])
    if not re.fullmatch(_SEGMENT, part):
        way_out = "parameters go into query, other characters into segments" if part else "it has an empty segment"
        raise ValueError(f"path={path!r} cannot be sent as it is: {way_out}")
    path_segment(unquote(part), "a segment of path")
    return part


def _pairs(query: Query) -> Iterator[str]:
    if not isinstance(query, Mapping):
        raise TypeError(f"query must be a mapping of names to values, not {type(query).__name__}")
    for name, value in query.items():
        if isinstance(value, str | None):
            values: Sequence[str] = () if value is None else (value,)
        elif isinstance(value, Sequence):
            values = value
        else:
            raise TypeError(f"query parameter {name!r} must be a string or a list of strings, not {value!r}")
        for each in values:
            yield f"{percent_encode(name, 'the name of a query parameter')}={percent_encode(each, name)}"


def _content(method: str, json: object, body: bytes | None) -> tuple[bytes, dict[str, str]]:
    """The body, and the headers that tell its type."""
    if json is not None and body is not None:
        raise TypeError("give either json or body, not both")
    if method not in BODY_METHODS:
        if json is not None or body is not None:
            raise ValueError(f"{method} has no body that a signature covers; only {', '.join(sorted(BODY_METHODS))} do")
        return b"", {}
    if body is None:
        text = "" if json is None else _json.dumps(json, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(), {"content-type": "application/json"}
    if not isinstance(body, bytes):
        raise TypeError(f"body must be bytes, not {type(body).__name__}; json takes a value to encode")
    return body, {"content-type": "application/octet-stream"}


def common_headers(headers: Mapping[str, str] | None) -> Headers:
    """Check the headers that a client sends with each request; they replace none that it sets itself."""
    if not isinstance(headers, Mapping | None):
        raise TypeError(f"headers must be a mapping of names to values, not {type(headers).__name__}")
    checked = _checked(headers or {})
    for name in headers or {}:
        if re.fullmatch(_SET_PER_REQUEST, name.lower()):
            raise ValueError(f"header {name!r} cannot be given: the client sets it for each request")
    return Headers(checked)


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower the names. A value is never shown: it may be a secret."""
    checked: dict[str, str] = {}
    for name, value in cast("Mapping[object, object]", headers).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"header {name!r} must be a string with a string for a value")
        lower = name.lower()
        if reason := _OURS.get(lower):
            raise ValueError(f"header {name!r} cannot be given: {reason}")
        if not re.fullmatch(_FIELD_NAME, name) or not re.fullmatch(FIELD_VALUE, value):
            raise ValueError(f"header {name!r} must be a token with a value of printable ASCII, not blank")
        if lower in checked:
            raise ValueError(f"header {name!r} was given twice")
        checked[lower] = value
    return checked
