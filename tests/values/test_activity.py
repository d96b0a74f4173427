"""Idle means what the documentation says, to the microsecond; with a missing or unknown value nothing is idle."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions._convert.codec import to_wire
from aidp_sessions.activity import Activity, activity_of, idle_for, idle_predicate, instant, is_idle_since
from aidp_sessions.models import ExecutionState, KernelSummary, SessionSummary

from ..helpers.decoding import encode, sessions_in
from ..helpers.strategies import brief, moments, states

MODERN: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The earliest moment that counts as a timestamp."""

timestamps: Final = st.datetimes(MODERN.replace(tzinfo=None), timezones=st.just(UTC))

T: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
HOUR: Final = timedelta(hours=1)
STATES: Final[dict[str | None, Activity]] = {
    "unknown": Activity.UNKNOWN,
    "starting": Activity.STARTING,
    "idle": Activity.IDLE,
    "busy": Activity.BUSY,
    "terminating": Activity.DEAD,
    "restarting": Activity.STARTING,
    "autorestarting": Activity.STARTING,
    "dead": Activity.DEAD,
}


def session(state: str | None = "idle", last: datetime | None = T, connections: int | None = 0) -> SessionSummary:
    kernel = KernelSummary(name="python3", execution_state=state, last_activity=last, connections=connections)
    return SessionSummary(id="s", kernel=kernel)


def test_there_are_eight_documented_states_and_each_is_in_the_table() -> None:
    """A state that is added to `ExecutionState` needs an activity here."""
    assert set(STATES) == {str(state) for state in ExecutionState}
    assert len(STATES) == 8


@pytest.mark.parametrize(("state", "activity"), STATES.items())
def test_each_documented_state_is_one_activity(state: str, activity: Activity) -> None:
    """As plain text or as a member of ExecutionState."""
    assert activity_of(session(state)) is activity
    assert activity_of(session(ExecutionState(state))) is activity


@pytest.mark.parametrize("state", [None, "", "hibernating", "IDLE", "Idle", " idle", "idle\n"])
def test_a_state_that_is_not_documented_is_unknown_and_not_idle(state: str | None) -> None:
    """Only the documented spelling of ``idle`` is idle."""
    assert activity_of(session(state)) is Activity.UNKNOWN
    assert not is_idle_since(session(state), T)


def test_the_activity_of_a_session_without_a_kernel_is_no_kernel() -> None:
    """A session whose cluster is starting is not idle."""
    warming = SessionSummary(id="s")

    assert activity_of(warming) is Activity.NO_KERNEL
    assert not is_idle_since(warming, T)
    assert idle_for(warming, T) is None


def test_the_activity_of_an_idle_kernel_without_a_timestamp_is_no_timestamp() -> None:
    """Idle since an unknown time is not idle since T."""
    assert activity_of(session(last=None)) is Activity.NO_TIMESTAMP
    assert not is_idle_since(session(last=None), T)
    assert idle_for(session(last=None), T) is None


@pytest.mark.parametrize(
    "zero",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1601, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=timezone(HOUR)),
        datetime(1980, 1, 1, tzinfo=UTC),
        MODERN - TICK,
    ],
)
def test_a_timestamp_before_the_year_2000_counts_as_missing(zero: datetime) -> None:
    """Several systems send their zero value for "never"; the kernel is then idle since no time."""
    assert activity_of(session(last=zero)) is Activity.NO_TIMESTAMP
    assert not is_idle_since(session(last=zero), T)
    assert not is_idle_since(session(last=zero), timedelta(0), connected=False)
    assert idle_for(session(last=zero), T) is None


def test_the_beginning_of_the_year_2000_is_a_timestamp() -> None:
    assert activity_of(session(last=MODERN)) is Activity.IDLE
    assert is_idle_since(session(last=MODERN), MODERN)
    assert idle_for(session(last=MODERN), T) == T - MODERN


def test_a_zero_timestamp_is_decoded_and_encoded_as_it_was_sent() -> None:
    """Only the activity functions ignore it."""
    wire = {"name": "k", "execution_state": "idle", "last_activity": "0001-01-01T00:00:00Z"}
    kernel = KernelSummary(name="k", execution_state="idle", last_activity=datetime(1, 1, 1, tzinfo=UTC))
    (decoded,) = sessions_in(encode([{"kernel": wire}]))

    assert decoded.kernel == kernel
    assert to_wire(kernel) == wire


def test_only_idle_needs_the_timestamp() -> None:
    """A busy kernel is busy whether or not its last activity is known."""
    assert activity_of(session("busy", last=None)) is Activity.BUSY


@brief
@given(st.none() | states, st.none() | moments, st.none() | st.integers())
def test_every_session_has_an_activity(state: str | None, last: datetime | None, connections: int | None) -> None:
    """It is idle exactly if the session is idle since some time."""
    some = session(state, last, connections)

    assert (activity_of(some) is Activity.IDLE) is is_idle_since(some, datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("last", "idle"),
    [(T - HOUR, True), (T - TICK, True), (T, True), (T + TICK, False), (T + HOUR, False)],
)
def test_idle_since_includes_the_time_itself(last: datetime, idle: bool) -> None:
    """last_activity <= T, in whatever zone T is given."""
    assert is_idle_since(session(last=last), T) is idle
    assert is_idle_since(session(last=last), T.astimezone(timezone(timedelta(hours=-8)))) is idle


@pytest.mark.parametrize("state", [state for state in ExecutionState if state is not ExecutionState.IDLE])
def test_no_other_state_is_idle(state: ExecutionState) -> None:
    """Not even with a last activity long ago."""
    assert not is_idle_since(session(state, T - 1000 * HOUR), T)
    assert idle_for(session(state, T - 1000 * HOUR), T) is None


@pytest.mark.parametrize(
    ("connections", "connected", "idle"),
    [
        (0, None, True),
        (2, None, True),
        (None, None, True),
        (0, False, True),
        (1, False, False),
        (None, False, False),
        (0, True, False),
        (1, True, True),
        (None, True, False),
    ],
)
def test_an_unknown_number_of_connections_matches_neither(
    connections: int | None, connected: bool | None, idle: bool
) -> None:
    """``connected=None`` accepts any number, ``False`` only zero, ``True`` only more."""
    assert is_idle_since(session(connections=connections), T, connected=connected) is idle


def test_a_timedelta_counts_back_from_now() -> None:
    """With one hour, a kernel used two hours ago is idle, and one used half an hour ago is not."""
    now = datetime.now(UTC)

    assert is_idle_since(session(last=now - 2 * HOUR), HOUR)
    assert not is_idle_since(session(last=now - HOUR / 2), HOUR)
    assert is_idle_since(session(last=now), timedelta(0))
    assert not is_idle_since(session(last=now + HOUR), timedelta(0))


def test_a_predicate_computes_now_once() -> None:
    """A predicate made before the activity never finds it idle, even if it is called much later."""
    holds = idle_predicate(timedelta(0))
    used_since = session(last=datetime.now(UTC) + TICK)

    assert not holds(used_since)


@pytest.mark.parametrize("connected", [None, True, False])
def test_a_naive_moment_is_refused(connected: bool | None) -> None:
    """The error shows the value and the remedy."""
    naive = datetime(2026, 11, 23, 12, 0)  # noqa: DTZ001  # on purpose
    message = r"^since=datetime\.datetime\(2026, 11, 23, 12, 0\) has no time zone; add one"
    with pytest.raises(ValueError, match=message):
        is_idle_since(session(), naive, connected=connected)
    with pytest.raises(ValueError, match=r"^now=.* has no time zone; add one"):
        idle_for(session(), naive)


def test_a_time_whose_zone_has_no_offset_is_naive_too() -> None:
    """A tzinfo may return None as its offset."""

    class Nowhere(tzinfo):
        def utcoffset(self, dt: datetime | None, /) -> None:
            return None

        dst = tzname = utcoffset

    with pytest.raises(ValueError, match="has no time zone"):
        is_idle_since(session(), T.replace(tzinfo=Nowhere()))


def test_a_negative_timedelta_is_refused() -> None:
    """It would mean the future."""
    with pytest.raises(ValueError, match="lies in the future; pass a positive timedelta"):
        is_idle_since(session(), -TICK)


@pytest.mark.parametrize("ago", [timedelta.max, timedelta(days=800_000)])
def test_a_timedelta_before_the_calendar_began_is_refused_or_matches_nothing(ago: timedelta) -> None:
    """The error is a ValueError, never an OverflowError."""
    try:
        found = is_idle_since(session(), ago)
    except ValueError as error:
        assert "since=" in str(error)  # noqa: PT017  # the other outcome is asserted as well
    else:
        assert not found


@pytest.mark.parametrize("since", [None, 5, "2h", date(2026, 11, 23)])
def test_anything_else_is_a_type_error(since: Any) -> None:  # on purpose
    """The error names the argument and the type that came."""
    with pytest.raises(TypeError, match=f"^since must be a datetime or timedelta, not {type(since).__name__}$"):
        is_idle_since(session(), since)
    with pytest.raises(TypeError, match=r"^since must be"):
        instant(since)


@brief
@given(timestamps, moments)
def test_idle_for_is_the_time_since_the_last_activity(last: datetime, now: datetime) -> None:
    """Never negative: an activity in the future, because clocks differ, counts as zero."""
    assert idle_for(session(last=last), now) == max(now - last, timedelta(0))


def test_idle_for_counts_to_the_present_by_default() -> None:
    """Without *now* it is this moment."""
    before = datetime.now(UTC)
    found = idle_for(session(last=before - HOUR))
    after = datetime.now(UTC)

    assert found is not None
    assert HOUR <= found <= HOUR + (after - before)


@brief
@given(timestamps, timestamps)
def test_idle_for_and_idle_since_agree(last: datetime, now: datetime) -> None:
    """A kernel is idle since now minus its idle time."""
    idle = idle_for(session(last=last), now)

    assert idle is not None
    assert is_idle_since(session(last=last), max(now - idle, last))
    assert is_idle_since(session(last=last), now) is (last <= now)
