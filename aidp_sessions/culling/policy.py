"""Which kernels may be shut down: the policy, and the rules that decide for one kernel. Pure, and without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

import attrs

from .._checks import check_function, check_result
from ..activity import Activity, activity_of, instant, is_idle_since
from ..models import AttachedSession, SessionSummary


class KeepReason(StrEnum):
    """Why a kernel is kept, in the order in which the rules are applied, except that ``shared`` comes first."""

    BUSY = "busy"
    STARTING = "starting"
    UNKNOWN = "unknown"
    """Not enough is known: no kernel, an id, a state or a number that is missing or undocumented, a dead kernel."""
    NO_TIMESTAMP = "no_timestamp"
    """The kernel is idle, but since when is not known."""
    RECENT = "recent"
    """The kernel is idle, but not since T."""
    CONNECTED = "connected"
    """The number of connections is not as ``connected`` asks."""
    TYPE = "type"
    PROTECTED = "protected"
    """A pattern matches, or there are patterns and the session has no path to compare them with."""
    VETOED = "vetoed"
    SHARED = "shared"
    """Two workspaces list a kernel of this id."""
    ACTIVE_ON_CLUSTER = "active_on_cluster"
    """A cluster calls the attached session ``ACTIVE``."""
    CLUSTER_UNREADABLE = "cluster_unreadable"
    """The clusters could not be listed, or one gives the attached session an undocumented state."""


_VETO: Final = "veto must be a plain function of a session"
_ORDER: Final = {reason: place for place, reason in enumerate(KeepReason)}
_BY_ACTIVITY: Final = {
    Activity.BUSY: KeepReason.BUSY,
    Activity.STARTING: KeepReason.STARTING,
    Activity.NO_TIMESTAMP: KeepReason.NO_TIMESTAMP,
}


def _since(value: datetime | timedelta) -> datetime | timedelta:
    """Check *value*, and convert a time to UTC: in its own zone, one that occurs twice equals no other time."""
    moment = instant(value, lambda: 0.0)
    try:
        return value if isinstance(value, timedelta) else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"since={value!r} is outside the calendar in UTC") from None


def _types(values: Iterable[str]) -> frozenset[str]:
    return frozenset(_texts(values, "types"))


def _patterns(values: Iterable[str]) -> tuple[str, ...]:
    return _texts(values, "protect")


def _texts(values: Iterable[str], name: str) -> tuple[str, ...]:
    texts = tuple(values)
    if isinstance(values, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} must be several strings, such as ['notebook'], not {values!r}")
    return texts


def _bool(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{field.name} must be True, False or None, not {value!r}")


def _count(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{field.name} must be a whole number or None, not {value!r}")
    if value is not None and value < 0:
        raise ValueError(f"{field.name}={value} must not be negative")


def _share(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"{field.name} must be a number or None, not {value!r}")
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{field.name}={value} must be between 0 and 1")


def _clusters(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value not in ("veto", "ignore"):
        raise ValueError(f"{field.name}={value!r} must be 'veto' or 'ignore'")


def _plain_function(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_function(value, f"{_VETO} or None")


@attrs.frozen(kw_only=True)
class CullPolicy:
    """Which kernels may be shut down. A kernel qualifies if each of its sessions passes every rule.

    Attributes:
        since: idle since when, as in `is_idle_since`. A timedelta counts back from the service's present time.
        connected: ``False``: only kernels without connections; ``True``: only those with some; ``None``: both.
        types: the allowed types of sessions.
        protect: patterns such as ``"*/prod/*"``, compared with the path, name, cluster id, workspace key and, if it is
            known, workspace name of each session, case included (`fnmatch.fnmatchcase`). A kernel is kept if any of
            them matches.
        veto: a function of a session; the kernel is kept if it returns true for one of its sessions. It is called
            when a plan is made, for kernels that pass the other rules but *clusters*. Its exceptions end the planning.
        max_kernels: a plan with more candidates is refused as a whole; ``None``: no limit.
        max_share: a plan with a larger share of candidates among all kernels listed is refused as a whole.
        clusters: ``"veto"``: a kernel is kept if a cluster calls the attached session ``ACTIVE``, and if the clusters
            of its workspace cannot be listed. ``"ignore"``: the clusters are not listed.
    """

    since: datetime | timedelta = attrs.field(converter=_since)
    connected: bool | None = attrs.field(default=False, validator=_bool)
    types: frozenset[str] = attrs.field(default=frozenset({"notebook"}), converter=_types)
    protect: tuple[str, ...] = attrs.field(default=(), converter=_patterns)
    veto: Callable[[SessionSummary], bool] | None = attrs.field(default=None, validator=_plain_function)
    max_kernels: int | None = attrs.field(default=100, validator=_count)
    max_share: float | None = attrs.field(default=0.5, validator=_share)
    clusters: Literal["veto", "ignore"] = attrs.field(default="veto", validator=_clusters)


def reason_to_keep(sessions: Sequence[SessionSummary], policy: CullPolicy, since: datetime) -> KeepReason | None:
    """The first of all rules that any of *sessions*, the sessions of one kernel, breaks; ``None``: they pass all rules.

    *since* is ``policy.since`` as a point in time. What clusters report is left to `reason_on_cluster`.
    """
    broken = [reason for session in sessions for reason in _broken_rules(session, policy, since)]
    if broken:
        return min(broken, key=_ORDER.__getitem__)
    veto = policy.veto
    vetoed = veto is not None and any(check_result(veto(session), _VETO) for session in sessions)
    return KeepReason.VETOED if vetoed else None


def _broken_rules(session: SessionSummary, policy: CullPolicy, since: datetime) -> Iterator[KeepReason]:
    kernel = session.kernel
    connections = None if kernel is None else kernel.connections
    activity = activity_of(session)
    if activity is not Activity.IDLE:
        yield _BY_ACTIVITY.get(activity, KeepReason.UNKNOWN)
    elif not is_idle_since(session, since):
        yield KeepReason.RECENT
    if kernel is None or not kernel.id or not session.id:
        yield KeepReason.UNKNOWN
    if policy.connected is not None:
        if connections is None or connections < 0:
            yield KeepReason.UNKNOWN
        elif (connections > 0) is not policy.connected:
            yield KeepReason.CONNECTED
    if session.type not in policy.types:
        yield KeepReason.TYPE
    if policy.protect and _is_protected(session, policy.protect):
        yield KeepReason.PROTECTED


def _is_protected(session: SessionSummary, patterns: Sequence[str]) -> bool:
    texts = (session.path, session.name, session.workspace_key, session.workspace_name or None, session.cluster_id)
    return session.path is None or any(
        fnmatchcase(text, pattern) for text in texts if text is not None for pattern in patterns
    )


def reason_on_cluster(
    sessions: Iterable[SessionSummary], attached: Iterable[AttachedSession] | None
) -> KeepReason | None:
    """Whether the clusters of a workspace want the kernel of *sessions* kept.

    *attached* are the sessions of all these clusters; ``None``: they could not be listed.
    """
    if attached is None:
        return KeepReason.CLUSTER_UNREADABLE
    paths = {_join_key(session.path) for session in sessions}
    everywhere = None in paths  # without a path, it can be any attached session
    states = {other.state for other in attached if everywhere or _join_key(other.path) in (None, *paths)}
    if "ACTIVE" in states:
        return KeepReason.ACTIVE_ON_CLUSTER
    return None if states <= {"IDLE"} else KeepReason.CLUSTER_UNREADABLE


def _join_key(path: str | None) -> str | None:
    return None if path is None else path.strip("/")
