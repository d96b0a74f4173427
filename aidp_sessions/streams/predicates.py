"""Predicates of callers: what they raise never looks like a workspace's failure, or like the end of the sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from .._checks import check_result
from ..errors import AidpError
from ..models import SessionSummary

Predicate = Callable[[SessionSummary], bool]

REQUIREMENT: Final = "where() takes a plain function of a session"


class PredicateFailedError(Exception):
    """Carries what a caller's predicate raised past the places that would take it for something else.

    Predicates run while a large workspace is read, because only what they keep counts as delivered. An `AidpError` of
    theirs would pass for a failure of that workspace, and a `StopIteration` for the end of the sessions.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    def reraise(self) -> NoReturn:
        """Raise what the predicate has raised; exceptions that steer iterations and tasks become a `RuntimeError`."""
        if isinstance(self.error, AidpError):
            raise self.error from self.error.__cause__
        raise RuntimeError(f"the predicate raised {type(self.error).__name__}") from self.error


def guarded(predicate: Predicate) -> Predicate:
    def matches(session: SessionSummary) -> bool:
        try:
            result: object = predicate(session)
        except (AidpError, StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError) as error:
            raise PredicateFailedError(error) from None
        return result if result is True or result is False else check_result(result, REQUIREMENT)

    return matches
