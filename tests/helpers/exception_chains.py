"""The exceptions that a traceback shows, for tests of what it must not contain."""

from __future__ import annotations

from typing import cast


def exception_chain(error: BaseException) -> list[BaseException]:
    """*error*, its causes and contexts, and the members of groups, each once."""
    links: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and link not in links:
            links.append(link)
            waiting += [link.__cause__, link.__context__]
            waiting += cast("ExceptionGroup[Exception]", link).exceptions if isinstance(link, ExceptionGroup) else ()
    return links
