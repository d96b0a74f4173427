"""The values of ``--since`` and ``--every``."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions.cli.since import describe_since, parse_every, parse_since, parse_span

from ..helpers.cli_runner import forget_settings, invoke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
UNITS = {"w": timedelta(weeks=1), "d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
UNITS["s"] = timedelta(seconds=1)


def outcome(parse: Callable[[str], T], text: str) -> T | ValueError:
    try:
        return parse(text)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2h", timedelta(hours=2)),
        ("2h30m", timedelta(hours=2, minutes=30)),
        ("90m", timedelta(minutes=90)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("0s", timedelta(0)),
        ("1.5h", timedelta(minutes=90)),
        ("0.5d6h", timedelta(hours=18)),
        ("PT2H", timedelta(hours=2)),
        ("P1DT12H", timedelta(hours=36)),
        ("P2W", timedelta(weeks=2)),
        ("P3D", timedelta(days=3)),
        ("PT0.5H", timedelta(minutes=30)),
        ("PT1M30S", timedelta(seconds=90)),
    ],
)
def test_since_accepts_a_duration(text: str, span: timedelta) -> None:
    assert parse_since(text) == span


@given(st.dictionaries(st.sampled_from(list(UNITS)), st.integers(0, 9999), min_size=1))
def test_a_duration_is_the_sum_of_its_parts_from_the_largest_unit_to_the_smallest(parts: dict[str, int]) -> None:
    text = "".join(f"{parts[unit]}{unit}" for unit in UNITS if unit in parts)

    assert parse_since(text) == sum((number * UNITS[unit] for unit, number in parts.items()), timedelta(0))


@given(st.datetimes(timezones=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_since_accepts_every_aware_time_in_iso_8601(moment: datetime) -> None:
    assert parse_since(moment.isoformat()) == moment


def test_since_accepts_z_for_utc() -> None:
    assert parse_since("2026-11-23T08:00Z") == datetime(2026, 11, 23, 8, tzinfo=UTC)


@given(st.one_of(st.text(), st.from_regex(r"\A[0-9wdhms]{1,20}\Z"), st.datetimes().map(datetime.isoformat)))
def test_since_gives_a_duration_or_an_aware_time_or_a_value_error_that_quotes_the_text(text: str) -> None:
    found = outcome(parse_since, text)

    if isinstance(found, ValueError):
        assert repr(text) in str(found)
    else:
        assert isinstance(found, timedelta) or found.utcoffset() is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither a span"),
        ("h", "neither a span"),
        ("2", "neither a span"),
        ("2H", "neither a span"),
        ("30m2h", "neither a span"),
        ("-2h", "neither a span"),
        ("٣d", "neither a span"),
        ("tomorrow", "such as 2h30m, 90m, 3d or 1w nor a time such as 2026-11-23T08:00Z, nor a date"),
        ("2026-11-23T08:00", "append Z or an offset, e.g. 2026-11-23T08:00:00Z"),
        ("1.h", "neither a span"),
        (".5h", "neither a span"),
        ("P", "neither a span"),
        ("P1DT", "neither a span"),
        ("P1M", "neither a span"),
        ("P1Y", "neither a span"),
        ("PT2H30", "neither a span"),
        ("9" * 400 + ".5w", "is too long"),
        ("9999999w", "too long: it starts before the year 1"),
        ("99999999999999999999w", "is too long"),
        ("9" * 5000 + "w", "is too long"),
    ],
)
def test_the_error_of_since_says_what_is_wrong_and_gives_an_example(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_since(text)


@given(st.text() | st.from_regex(r"\A[0-9wdhms]{1,20}\Z"))
def test_every_gives_a_positive_duration_or_a_value_error_that_quotes_the_text(text: str) -> None:
    found = outcome(parse_every, text)

    if isinstance(found, ValueError):
        assert repr(text) in str(found)
    else:
        assert found > timedelta(0)
        assert found == parse_span(text)


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_berlin")
def test_a_date_is_its_midnight_in_the_local_time_zone() -> None:
    assert parse_since("2026-07-01") == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert parse_since("2026-12-01") == datetime(2026, 11, 30, 23, tzinfo=UTC)


@pytest.mark.usefixtures("_berlin")
def test_yesterday_is_its_midnight_in_the_local_time_zone() -> None:
    before = datetime.now().astimezone()
    since = parse_since("yesterday")
    after = datetime.now().astimezone()

    assert isinstance(since, datetime)
    assert (since.hour, since.minute, since.second) == (0, 0, 0)
    assert since.date() in {moment.date() - timedelta(days=1) for moment in (before, after)}


@pytest.mark.usefixtures("_berlin")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2h", None),
        ("PT2H", None),
        ("2026-11-23T08:00+01:00", None),
        ("2026-11-23", ("note", "--since 2026-11-23 means 2026-11-23 00:00 CET, 1 d 13 h ago")),
        ("2026-11-25", ("warning", "--since 2026-11-25 lies in the future: every idle kernel is selected")),
        (
            "2099-01-01T00:00Z",
            ("warning", "--since 2099-01-01T00:00Z lies in the future: every idle kernel is selected"),
        ),
    ],
)
def test_what_is_not_obvious_about_a_value_is_said(text: str, message: tuple[str, str] | None) -> None:
    assert describe_since(text, parse_since(text), datetime(2026, 11, 24, 12, tzinfo=UTC)) == message


@pytest.mark.parametrize("command", ["idle", "cull", "watch"])
async def test_the_command_says_on_standard_error_what_it_understood(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    forget_settings(monkeypatch, tmp_path)

    result = await invoke(command, "--since", "yesterday")

    assert re.match(r"note: --since yesterday means \d{4}-\d\d-\d\d 00:00 \S+, 1 d \d+ h ago\n", result.stderr)
