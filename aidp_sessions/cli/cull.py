"""The command ``cull``: its options, and the question before it acts."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Unpack

import click
from click.core import ParameterSource

from .._display.text import pluralize, strip_control_chars
from ..culling.plan import CullPlan
from ..culling.policy import CullPolicy
from .cull_options import CULL_OPTIONS, CullOptions
from .cull_run import Run
from .options import (
    CONNECTION_OPTIONS,
    PROGRESS,
    SELECTION_OPTIONS,
    add_options,
    output_format,
    output_option,
    since_option,
)
from .output import file_writer
from .question import can_ask, confirm
from .report import error_console
from .wording import usage_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import SessionSummary

_DECIDED_BY_PLAN = (
    *("since", "connected", "types", "protect", "max_kernels", "max_share", "ignore_clusters"),
    *("workspace", "path", "cluster_id", "agent_flow_key", "save_plan", "every"),
)


@click.command()
@add_options(
    since_option(required=False),
    *CULL_OPTIONS,
    *SELECTION_OPTIONS,
    PROGRESS,
    output_option("table", "jsonl"),
    *CONNECTION_OPTIONS,
)
def cull(**chosen: Unpack[CullOptions]) -> None:
    """Show which idle kernels would be shut down; with --yes, shut them down.

    A kernel is kept unless all its sessions are selected and idle, and its clusters do not call them active. Right
    before it is shut down, it is read again, and kept if anything has changed. Ctrl-C and SIGTERM end the command after
    the deletion under way, with status 130; with --every, SIGTERM ends it with the status of the last round.
    """
    _check_usage(chosen)
    run = Run(chosen, output_format(chosen, "table", "jsonl"), error_console())
    if chosen["every"] is not None:
        sys.exit(run.serve(_policy(chosen), chosen["every"], chosen["grace"] or timedelta(0)))
    with file_writer(chosen["save_plan"], "--save-plan") as save:
        plan, status = run.make_plan(_policy(chosen)) if chosen["plan_file"] is None else _read(chosen["plan_file"])
        if plan is None:
            sys.exit(status)
        save(plan.to_json)
    run.show(plan)
    if plan.refusal is not None:
        sys.exit(run.refuse(plan.refusal))
    if chosen["yes"] and (not _must_ask(chosen, plan) or _agreed(plan)):
        status = max(status, run.apply(plan))
    sys.exit(status)


def _check_usage(chosen: CullOptions) -> None:
    if not chosen["yes"]:
        for name in ("audit", "every"):
            if chosen[name] is not None:
                raise click.UsageError(f"--{name} needs --yes")
    if chosen["grace"] is not None and chosen["every"] is None:
        raise click.UsageError("--grace needs --every")
    if chosen["every"] is not None and chosen["save_plan"] is not None:
        raise click.UsageError("--every cannot be combined with --save-plan")
    context = click.get_current_context()
    for option in context.command.params if chosen["plan_file"] is not None else ():
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name in _DECIDED_BY_PLAN:
            raise click.UsageError(f"--plan cannot be combined with {option.opts[0]}")


def _policy(chosen: CullOptions) -> CullPolicy:
    if chosen["since"] is None:
        raise click.UsageError("--since or --plan is needed")
    with usage_errors():
        return CullPolicy(
            since=chosen["since"],
            connected=chosen["connected"],
            types=chosen["types"],
            protect=chosen["protect"],
            veto=_veto(chosen),
            max_kernels=chosen["max_kernels"],
            max_share=chosen["max_share"],
            clusters="ignore" if chosen["ignore_clusters"] else "veto",
        )


def _veto(chosen: CullOptions) -> Callable[[SessionSummary], bool]:
    """Keep what the options do not select. If the service selected, other sessions of the same kernels were missing."""
    options = {
        "path": chosen["path"],
        "cluster_id": chosen["cluster_id"],
        "agent_flow_key": chosen["agent_flow_key"],
    }
    wanted = {name: value for name, value in options.items() if value is not None}
    return lambda session: any(getattr(session, name) != value for name, value in wanted.items())


def _read(file: BinaryIO) -> tuple[CullPlan, int]:
    try:
        return CullPlan.from_json(file.read()), 0
    except ValueError as error:
        reason = strip_control_chars(f"{file.name!r} is not a plan: {error}")
        raise click.BadParameter(reason, param_hint="'--plan'") from None


def _must_ask(chosen: CullOptions, plan: CullPlan) -> bool:
    given = chosen["plan_file"] is not None or chosen["no_input"]
    return not given and bool(plan.candidates) and can_ask()


def _agreed(plan: CullPlan) -> bool:
    kernels = pluralize(len(plan.candidates), "kernel")
    workspaces = pluralize(len({kernel.workspace_key for kernel in plan.candidates}), "workspace")
    return confirm(f"Shut down {kernels} in {workspaces}?")
