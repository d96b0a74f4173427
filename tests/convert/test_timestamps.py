"""Every documented form of a timestamp is one time in UTC; anything else is refused with its path."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aidp_sessions._convert.codec import to_wire
from aidp_sessions._convert.wire_format import parse_timestamp
from aidp_sessions.models import KernelSummary

from ..helpers.decoding import NAMED, encode, refusal
from ..helpers.strategies import brief, moments, timestamps

DIGITS: Final = "123456789"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T01:12:43Z", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23T01:12:43z", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23t01:12:43z", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23 01:12:43Z", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23T01:12:43+00:00", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23T01:12:43-00:00", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23T01:12:43+0000", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23T01:12:43+05:30", datetime(2026, 11, 22, 19, 42, 43, tzinfo=UTC)),
        ("2026-12-31T23:59:59.5-08:00", datetime(2027, 1, 1, 7, 59, 59, 500_000, tzinfo=UTC)),
        ("2026-11-23T01:12:43", datetime(2026, 11, 23, 1, 12, 43, tzinfo=UTC)),
        ("2026-11-23T01:12:43.863595", datetime(2026, 11, 23, 1, 12, 43, 863_595, tzinfo=UTC)),
        ("2026-11-23T01:12:43.863595Z", datetime(2026, 11, 23, 1, 12, 43, 863_595, tzinfo=UTC)),
    ],
)
def test_a_timestamp_of_any_documented_form_is_aware_utc(text: str, moment: datetime) -> None:
    """Z or offset, upper or lower case, T or space; without an offset it is UTC."""
    parsed = parse_timestamp(text)

    assert (parsed, parsed.tzinfo) == (moment, UTC)


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("zone", ["Z", "", "+00:00"])
def test_up_to_nine_fraction_digits_are_read_and_cut_to_microseconds(count: int, zone: str) -> None:
    """Digits beyond the sixth are cut off and never rounded up, which would be in the future."""
    digits = DIGITS[:count]
    expected = datetime(2026, 11, 23, 1, 12, 43, int(digits[:6].ljust(6, "0")), tzinfo=UTC)

    assert parse_timestamp(f"2026-11-23T01:12:43.{digits}{zone}") == expected
    assert parse_timestamp(f"2026-11-23T01:12:43.{'9' * count}{zone}").second == 43


@brief
@given(moments, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_a_timestamp_with_any_offset_is_converted_to_utc(moment: datetime, minutes: int) -> None:
    """The result is equal to the original time."""
    zone = timezone(timedelta(minutes=minutes))
    try:
        text = moment.astimezone(zone).isoformat()
    except OverflowError:
        text = moment.isoformat()

    assert parse_timestamp(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "idle",
        "1764000000",
        "2026-11-23",
        "20261123T011243Z",
        "2026-11-23_01:12:43Z",
        " 2026-11-23T01:12:43Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-23T23:59:60Z",
        "2026-11-23T01:12:43+24:00",
        "2026-11-23T01:12:43ZZ",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "Mon, 23 Nov 2026 01:12:43 GMT",
        "\u0662026-11-23T01:12:43Z",
        "2026-11-23T01:12:43.\u0661Z",
        "\x00",
        "9" * 5000,
    ],
)
def test_an_invalid_timestamp_is_refused_with_its_path(text: str) -> None:
    """It is a decode error, not a kernel without a timestamp."""
    assert refusal(encode([{"kernel": {**NAMED, "last_activity": text}}])) == (
        "$[0].kernel.last_activity",
        f"expected an ISO 8601 timestamp, not {text[:200]!r}",
    )


@brief
@given(st.text() | st.text("0123456789-:.TtZz+ ", max_size=40))
@example("2026-11-23T01:12:43.")
def test_any_text_is_a_time_in_utc_or_a_value_error(text: str) -> None:
    """There is no third outcome."""
    try:
        assert parse_timestamp(text).tzinfo is UTC
    except ValueError as error:
        assert str(error) == f"expected an ISO 8601 timestamp, not {text[:200]!r}"  # noqa: PT017  # the other outcome is asserted as well


@brief
@given(timestamps)
def test_a_timestamp_is_written_as_it_is_documented(text: str) -> None:
    """Times are encoded in UTC with the suffix Z."""
    kernel = KernelSummary(name="k", last_activity=parse_timestamp(text))

    assert to_wire(kernel) == {"name": "k", "last_activity": text}
