"""What a client gives back: responses, collections, outcomes, changes, and the error of a fan-out. Pure values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NoReturn, Self, overload

import attrs

from . import _display
from .errors import AidpError, ResponseDecodeError
from .models import NO_FIELDS, SessionSummary

_NAMED_WORKSPACES = 5


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


class FanOutError(AidpError, ExceptionGroup[AidpError]):
    """Some workspaces failed; all the others were delivered. ``except*`` splits it by error class.

    Attributes:
        exceptions: one error per failed workspace, each with its `workspace_key`.
        sessions: what `SessionStream.collect` had gathered from the healthy workspaces; empty when the
            sessions were yielded one by one.
    """

    if TYPE_CHECKING:

        @property
        def exceptions(self) -> tuple[AidpError, ...]: ...

    def __new__(cls, message: str, errors: Sequence[AidpError]) -> Self:
        return super().__new__(cls, message, errors)

    def __init__(self, message: str, errors: Sequence[AidpError]) -> None:
        super().__init__(message)
        self.args = (message, tuple(errors))
        self.sessions: tuple[SessionSummary, ...] = ()

    def __str__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        """Show it as a table in a notebook: the first hundred failures."""
        return _display.html.failures_table(self.exceptions)

    def derive(self, excs: Sequence[AidpError], /) -> FanOutError:  # type: ignore[override]  # only AidpErrors inside
        part = type(self)(self.message, excs)
        part.sessions = self.sessions
        return part

    @classmethod
    def of(cls, errors: Sequence[AidpError]) -> Self:
        """Group *errors*, naming the first few workspaces in the message."""
        failed = [error.workspace_name or error.workspace_key for error in errors if error.workspace_key is not None]
        names = ", ".join(map(repr, failed[:_NAMED_WORKSPACES]))
        more = f" and {len(failed) - _NAMED_WORKSPACES} more" if len(failed) > _NAMED_WORKSPACES else ""
        parts = [f"{len(failed)} workspace{'s' if len(failed) != 1 else ''} failed: {names}{more}"] if failed else []
        if len(failed) < len(errors):
            parts.append("the listing of workspaces failed, so some may be missing")
        return cls("; ".join(parts), errors)


@attrs.frozen(kw_only=True)
class SessionCollection(Sequence[SessionSummary]):
    """All sessions of one workspace (schema ``SessionCollection``), every page of them. A slice of it is a tuple.

    Attributes:
        items: the sessions, in the order of the service.
        etag: of the answer; ``None`` if it took several pages, which have none in common.
        opc_request_id: of the last page.
        request_ids: one per attempt and page, oldest first; more than pages if some were sent again.
        extra: fields beside ``items`` that this version does not know.
        responses: what the service answered, one per page, if they were to be kept.
    """

    items: tuple[SessionSummary, ...]
    etag: str | None = None
    opc_request_id: str | None = None
    request_ids: tuple[str, ...] = attrs.field(default=(), eq=False)
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)
    responses: tuple[Response, ...] = attrs.field(default=(), eq=False, repr=False)

    @overload
    def __getitem__(self, index: int) -> SessionSummary: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SessionSummary, ...]: ...
    def __getitem__(self, index: int | slice) -> SessionSummary | tuple[SessionSummary, ...]:
        return self.items[index]

    def __iter__(self) -> Iterator[SessionSummary]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def _repr_html_(self) -> str:
        """Show it as a table in a notebook: the first hundred sessions."""
        return _display.html.sessions_table(self.items)


@attrs.frozen(kw_only=True)
class SessionChange:
    """One difference between two looks at the same selection of sessions.

    Attributes:
        kind: ``appeared``, ``changed`` or ``vanished``.
        session: as it is now; one that vanished, as it was last.
        previous: as it was before; ``None`` for one that appeared.
    """

    kind: Literal["appeared", "changed", "vanished"]
    session: SessionSummary
    previous: SessionSummary | None = None


@attrs.frozen(kw_only=True)
class WorkspaceOutcome:
    """What became of one workspace in a fan-out: its sessions, or the error that took their place.

    Attributes:
        workspace_name: its display name, if the client knows it, else empty. It takes no part in comparisons.
    """

    workspace_key: str
    workspace_name: str = attrs.field(default="", eq=False)
    sessions: tuple[SessionSummary, ...] = ()
    error: AidpError | None = None

    def _repr_html_(self) -> str:
        """Show it as a table in a notebook: the first hundred sessions, or the error."""
        if self.error is not None:
            return _display.html.failures_table([self.error])
        return _display.html.sessions_table(self.sessions, self.workspace_name or self.workspace_key)
