"""The workspaces that ``--workspace`` names: by key, by display name, or by a pattern over both."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import click

from .._api import can_hold_sessions
from .._display.text import strip_control_chars
from .._operations.encoding import path_segment
from ..errors import ResponseDecodeError, ServiceError
from .wording import usage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..client import SessionsClient
    from ..models import WorkspaceSummary
    from ..streams.keys import WorkspaceLike

_MAX_SUGGESTIONS: Final = 3
_log = logging.getLogger("aidp_sessions")


async def select_workspaces(client: SessionsClient, named: Sequence[str]) -> Sequence[WorkspaceLike] | None:
    """List the workspaces, and return those that are *named*; ``None``, all of them, if none is named.

    If they cannot be listed, which needs a permission of its own, the names are taken as keys. Raises
    `click.UsageError` for a name that no workspace has.
    """
    if not named:
        return None
    with usage_errors():
        for name in named:
            path_segment(name)
    try:
        known = [workspace async for workspace in client.workspaces()]
    except (ServiceError, ResponseDecodeError) as error:
        _log.warning("the workspaces cannot be listed, so each --workspace is taken as a key: %s", error)
        return named
    found = (workspace for name in named for workspace in matching(name, known))
    return list({workspace.key: workspace for workspace in found}.values())


def names_of(workspaces: Iterable[WorkspaceLike]) -> dict[str, str]:
    """The names of those *workspaces* that are not only a key, by key."""
    return {each.key: each.display_name for each in workspaces if not isinstance(each, str)}


def matching(argument: str, known: Sequence[WorkspaceSummary]) -> list[WorkspaceSummary]:
    """The workspaces of this key, else those of this name, else those that the pattern *argument* fits.

    Names are compared regardless of case. One that holds no sessions, such as a deleted one, is found only if no other
    is.
    """
    usable = [workspace for workspace in known if can_hold_sessions(workspace)]
    for workspaces in (usable, known):
        for matches in (_has_key, _has_name, _fits):
            if found := [workspace for workspace in workspaces if matches(workspace, argument)]:
                return found
    closest = ", ".join(map(repr, _closest(argument, known)))
    remedy = f"did you mean {closest}?" if closest else "the command workspaces shows all."
    text = strip_control_chars(f"no workspace has the key or the name {argument!r}; {remedy}")
    raise click.BadParameter(text, param_hint="'--workspace'")


def _has_key(workspace: WorkspaceSummary, argument: str) -> bool:
    return workspace.key == argument


def _has_name(workspace: WorkspaceSummary, argument: str) -> bool:
    return workspace.display_name.casefold() == argument.casefold()


def _fits(workspace: WorkspaceSummary, argument: str) -> bool:
    texts = workspace.key, workspace.display_name
    return any(fnmatchcase(text.casefold(), argument.casefold()) for text in texts)


def _closest(argument: str, known: Iterable[WorkspaceSummary]) -> list[str]:
    """Names, and keys, that contain *argument* or are similar to it, whatever the case."""
    texts = {text.casefold(): text for each in known for text in (each.key, each.display_name)}
    wanted = argument.casefold().strip()
    containing = [text for text in texts if wanted and wanted in text]
    similar = get_close_matches(wanted, texts, _MAX_SUGGESTIONS)
    return [texts[text] for text in dict.fromkeys([*containing, *similar])][:_MAX_SUGGESTIONS]
