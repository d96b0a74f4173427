"""What ``--since`` understands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions.cli import parse_since

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


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
    ],
)
def test_since_reads_a_span_as_that_long_before_now(text: str, span: timedelta) -> None:
    assert parse_since(text, NOW) == NOW - span


@given(st.datetimes(timezones=st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))))
def test_since_reads_back_every_aware_time_in_iso_8601(moment: datetime) -> None:
    assert parse_since(moment.isoformat(), NOW) == moment


def test_since_takes_z_for_utc() -> None:
    assert parse_since("2026-11-23T08:00Z", NOW) == datetime(2026, 11, 23, 8, tzinfo=UTC)


@given(st.one_of(st.text(), st.from_regex(r"\A[0-9wdhms]{1,20}\Z"), st.datetimes().map(datetime.isoformat)))
def test_since_yields_an_aware_time_or_a_value_error_for_any_text(text: str) -> None:
    try:
        moment: datetime | None = parse_since(text, NOW)
    except ValueError:
        moment = None

    assert moment is None or moment.utcoffset() is not None


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
        ("yesterday", "such as 2h30m, 90m, 3d or 1w nor a time such as 2026-11-23T08:00Z"),
        ("2026-11-23", "append Z or an offset, e.g. 2026-11-23T00:00:00Z"),
        ("9999999w", "before the calendar begins"),
        ("99999999999999999999w", "before the calendar begins"),
    ],
)
def test_since_says_what_is_wrong_and_what_would_do(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_since(text, NOW)
