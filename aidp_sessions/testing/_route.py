"""Reads a request target: which operation, of which platform and workspace, with which parameters. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, unquote

import attrs

_COLLECTIONS: Final = {"20260430": "aiDataPlatforms", "20240831": "dataLakes"}
_LEGACY: Final = "20240831"


@attrs.frozen(kw_only=True)
class Call:
    """A documented operation: sessions of *workspace_key*, or the list of workspaces if that is ``None``."""

    platform_id: str
    workspace_key: str | None
    query: dict[str, str]
    legacy: bool


def parse(target: str) -> Call | None:
    """Read *target* exactly as received, so that a key may hold ``/`` or anything else; ``None``: no such path."""
    path, _, query = target.partition("?")
    match [unquote(segment) for segment in path.split("/")]:
        case ["", version, collection, platform_id, "workspaces"]:
            workspace_key = None
        case ["", version, collection, platform_id, "workspaces", workspace_key, "notebook", "api", "sessions"]:
            pass
        case _:
            return None
    if _COLLECTIONS.get(version) != collection:
        return None
    return Call(
        platform_id=platform_id,
        workspace_key=workspace_key,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        legacy=version == _LEGACY,
    )
