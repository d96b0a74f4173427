"""The command ``whoami``: which credentials and which endpoint are used, and whether the service accepts them."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Unpack

import click

from .._convert.wire_format import format_timestamp
from .._operations.messages import clock_skew
from ..auth.config import load_profile
from ..endpoints import region_of
from ..errors import AidpError
from ..policies import RetryPolicy, Timeout
from . import running
from .options import CONNECTION_OPTIONS, add_options, output_format, output_option
from .output import print_text
from .queries import open_client
from .report import error_console, signer_facts
from .tables import facts_as_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..client import SessionsClient
    from .options import ConnectionOptions

_TIMEOUT: Final = Timeout(connect=5.0, read=5.0, total=10.0)
Facts = dict[str, str | int | None]


@click.command()
@add_options(output_option("table", "json"), *CONNECTION_OPTIONS)
def whoami(**chosen: Unpack[ConnectionOptions]) -> None:
    """Show which credentials and which endpoint are used, and whether the service accepts them.

    It sends one request, once, and waits at most 10 seconds unless --timeout is given.
    """
    as_text = _as_lines if output_format(chosen, "table", "json") == "table" else _as_json
    sys.exit(running.run(_ask(chosen, lambda facts: print_text(as_text(facts))), error_console()))


async def _ask(options: ConnectionOptions, show: Callable[[Facts], None]) -> None:
    """*show* credentials and endpoint, also if the service refuses or does not answer; then raise its error."""
    now = datetime.now(UTC)
    async with open_client(options, now, retry=RetryPolicy.none(), timeout=_TIMEOUT) as client:
        try:
            skew = await client.clock_skew()
        except AidpError as error:
            show(_facts(client, options, clock_skew(error.headers, time.time())))
            raise
        show(_facts(client, options, None if skew is None else skew.total_seconds()))


def _facts(client: SessionsClient, options: ConnectionOptions, skew: float | None) -> Facts:
    profile = None if options["demo"] else load_profile(options["profile"], options["config_file"])
    expires = getattr(client.signer, "expires_at", None)
    return {
        **signer_facts(client.signer),
        "profile": profile.name if profile and profile.file else None,
        "config_file": str(profile.file) if profile and profile.file else None,
        "region": region_of(client.endpoint),
        "platform": client.platform_id,
        "endpoint": client.endpoint,
        "token_expires": expires and format_timestamp(expires, "seconds"),
        "clock_difference_seconds": None if skew is None else round(skew),
    }


def _as_json(facts: Mapping[str, str | int | None]) -> str:
    return json.dumps(facts, indent=2) + "\n"


def _as_lines(facts: Mapping[str, str | int | None]) -> str:
    """``clock difference  +3600 s``: positive if the service's clock is ahead."""
    lines = {
        name.removesuffix("_seconds").replace("_", " "): f"{value:+d} s" if isinstance(value, int) else value
        for name, value in facts.items()
    }
    return facts_as_lines(lines)
