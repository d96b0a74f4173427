"""An answer as it came over the wire, for what the models leave out. Pure values; holds no credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NoReturn

import attrs

from .errors import ResponseDecodeError


class Headers(Mapping[str, str]):
    """Header values by name, regardless of case; read-only. Shows its names only."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


@attrs.frozen(kw_only=True)
class Response:
    """One HTTP answer.

    Attributes:
        status: of the status line.
        headers: names in lower case, looked up regardless of case; credentials are left out. Where a header came more
            than once, its values are joined by commas.
        body: decompressed.
    """

    status: int
    headers: Headers = attrs.field(converter=Headers, hash=False)
    body: bytes = attrs.field(repr=False)

    def json(self) -> object:
        """The value that the body holds; raises `ResponseDecodeError` if it is not JSON."""
        try:
            return json.loads(self.body, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else type(error).__name__
            failed = ResponseDecodeError(f"the body, {len(self.body)} bytes, is not JSON: {reason}")
        failed.status, failed.headers = self.status, dict(self.headers)
        failed.opc_request_id = self.headers.get("opc-request-id")
        raise failed


def _no_json(name: str) -> NoReturn:
    raise ValueError(name)
