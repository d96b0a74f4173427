"""What changed between two looks at many workspaces: values in, changes out. Knows neither clock nor network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..errors import AidpError
from ..results import SessionChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..models import SessionSummary
    from ..results import SessionCollection

_log = logging.getLogger("aidp_sessions")
Identity = tuple[str | None, str | None]


class Watch:
    """The state of one watch. Each round: `begin`, then `update` once per workspace, then `end`.

    What fails keeps what it had: an outage makes nothing vanish. Each outage is logged once, as a warning, and its end.
    """

    def __init__(self) -> None:
        self.collections: dict[str, SessionCollection] = {}
        self._selected: dict[str, dict[Identity, SessionSummary]] = {}
        self._failing: set[str | None] = set()
        self._seen: set[str] = set()
        self._holds: Callable[[SessionSummary], bool] | None = None

    def begin(self, holds: Callable[[SessionSummary], bool] | None) -> None:
        """Start a round in which the selection is what *holds*, or everything."""
        self._holds = holds
        self._seen = set()

    def update(self, key: str, answer: SessionCollection | AidpError) -> Iterator[SessionChange]:
        self._seen.add(key)
        if isinstance(answer, AidpError):
            self._fails(key, answer)
            return
        self._recovers(key)
        self.collections[key] = answer
        selected = {_identity(session): session for session in filter(self._holds, answer)}
        yield from self._replace(key, selected)

    def end(self, failure: AidpError | None) -> Iterator[SessionChange]:
        """Finish the round; *failure* is why the workspaces could not all be listed, if so."""
        if failure is not None:
            self._fails(None, failure)
            return
        self._recovers(None)
        for key in self._selected.keys() - self._seen:
            yield from self._replace(key, {})
            self.collections.pop(key, None)
            self._failing.discard(key)

    def _replace(self, key: str, selected: dict[Identity, SessionSummary]) -> Iterator[SessionChange]:
        before = self._selected.get(key, {})
        if selected:
            self._selected[key] = selected
        else:
            self._selected.pop(key, None)
        for identity, session in selected.items():
            previous = before.get(identity)
            if previous is None:
                yield SessionChange(kind="appeared", session=session)
            elif previous != session:
                yield SessionChange(kind="changed", session=session, previous=previous)
        for identity, session in before.items():
            if identity not in selected:
                yield SessionChange(kind="vanished", session=session, previous=session)

    def _fails(self, key: str | None, error: AidpError) -> None:
        if key not in self._failing:
            self._failing.add(key)
            _log.warning("what a failed request would have shown is taken to be as it was: %s", error)

    def _recovers(self, key: str | None) -> None:
        if key in self._failing:
            self._failing.discard(key)
            _log.info("%s answers again", "the listing of workspaces" if key is None else f"workspace {key!r}")


def _identity(session: SessionSummary) -> Identity:
    """The service promises no id; a session without one is known by its path."""
    return (session.id, None) if session.id is not None else (None, session.path)
