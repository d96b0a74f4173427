"""The options of ``cull`` that other commands do not have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from .options import ProgressOptions
from .since import parse_every, parsed_by

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)


class CullOptions(ProgressOptions):
    """The options of the command that shuts kernels down."""

    since: datetime | timedelta | None
    connected: bool
    types: tuple[str, ...]
    protect: tuple[str, ...]
    max_kernels: int
    max_share: float
    ignore_clusters: bool
    yes: bool
    no_input: bool
    save_plan: str | None
    plan_file: BinaryIO | None
    audit: TextIO | None
    every: timedelta | None
    grace: timedelta | None


def parse_share(text: str) -> float:
    """Parse a percentage from ``0%`` to ``100%``; raises `ValueError` for anything else."""
    if (found := _PERCENT.fullmatch(text)) and float(found[1]) <= 100:
        return float(found[1]) / 100
    raise ValueError(f"{text!r} is not a percentage such as 30%")


NO_INPUT = click.option("--no-input", is_flag=True, help="Ask no question.")
AUDIT = click.option(
    "--audit",
    metavar="FILE",
    type=click.File("a", encoding="utf-8"),
    help="With --yes: append each decision and each outcome to FILE as one line of JSON.",
)
CULL_OPTIONS = (
    click.option(
        "--connected/--not-connected",
        default=False,
        help="Only kernels with (or without) open connections.  [default: without]",
    ),
    click.option(
        "--type",
        "types",
        metavar="TYPE",
        multiple=True,
        default=("notebook",),
        show_default=True,
        help="Only kernels whose sessions are of this type; may be repeated.",
    ),
    click.option(
        "--protect",
        metavar="GLOB",
        multiple=True,
        help="Keep kernels if this pattern matches a path, a name, a workspace (its key or name) or a cluster id; may "
        "be repeated.",
    ),
    click.option(
        "--max",
        "max_kernels",
        metavar="N",
        type=click.IntRange(min=0),
        default=100,
        show_default=True,
        help="Refuse a plan that would shut down more kernels.",
    ),
    click.option(
        "--max-share",
        metavar="PERCENT",
        callback=parsed_by(parse_share),
        default="50%",
        show_default=True,
        help="Refuse a plan that would shut down a larger share of all kernels.",
    ),
    click.option(
        "--ignore-clusters", is_flag=True, help="Do not ask the clusters whether they call a notebook active."
    ),
    click.option(
        "--yes", is_flag=True, allow_from_autoenv=False, help="Shut the kernels down. On a terminal, ask first."
    ),
    NO_INPUT,
    click.option(
        "--save-plan", metavar="FILE", type=click.Path(dir_okay=False), help="Write the plan to FILE, for --plan."
    ),
    click.option(
        "--plan", "plan_file", metavar="FILE", type=click.File("rb"), help="Use this saved plan; list no sessions."
    ),
    AUDIT,
    click.option(
        "--every",
        metavar="SPAN",
        callback=parsed_by(parse_every),
        help="With --yes: repeat, without a question, and shut down only kernels that the round before found too.",
    ),
    click.option(
        "--grace",
        metavar="SPAN",
        callback=parsed_by(parse_every),
        help="With --every: shut down only kernels that all rounds have found for this long.  [default: one round]",
    ),
)
