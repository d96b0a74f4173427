"""What changed between two rounds of a watch: values in, changes out."""

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
SessionKey = tuple[str | None, str | None]


class Watch:
    """The state of one watch. Each round: `start_round`, then `update` once per workspace, then `end_round`.

    A workspace that cannot be reached keeps its last known sessions. The start and the end of each outage are logged.
    """

    def __init__(self) -> None:
        self.collections: dict[str, SessionCollection] = {}
        self._selected: dict[str, dict[SessionKey, SessionSummary]] = {}
        self._failing: set[str | None] = set()
        self._seen: set[str] = set()
        self._matches: Callable[[SessionSummary], bool] | None = None

    def start_round(self, matches: Callable[[SessionSummary], bool] | None) -> None:
        """Start a round that selects the sessions for which *matches* is true, or all."""
        self._matches = matches
        self._seen = set()

    def update(self, key: str, result: SessionCollection | AidpError) -> Iterator[SessionChange]:
        self._seen.add(key)
        if isinstance(result, AidpError):
            self._fails(key, result)
            return
        self._recovers(key)
        self.collections[key] = result
        selected = {_session_key(session): session for session in filter(self._matches, result)}
        yield from self._replace(key, selected)

    def end_round(self, failure: AidpError | None) -> Iterator[SessionChange]:
        """End the round; *failure* says why the workspaces could not all be listed."""
        if failure is not None:
            self._fails(None, failure)
            return
        self._recovers(None)
        for key in self._selected.keys() - self._seen:
            yield from self._replace(key, {})
        for key in self.collections.keys() - self._seen:
            del self.collections[key]
        self._failing &= self._seen

    def _replace(self, key: str, selected: dict[SessionKey, SessionSummary]) -> Iterator[SessionChange]:
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
            _log.warning("the last known sessions are kept: %s", error)

    def _recovers(self, key: str | None) -> None:
        if key in self._failing:
            self._failing.discard(key)
            _log.info("%s results again", "the listing of workspaces" if key is None else f"workspace {key!r}")


def _session_key(session: SessionSummary) -> SessionKey:
    """The id, or for a session without one (the service promises none) its path."""
    return (session.id, None) if session.id is not None else (None, session.path)
