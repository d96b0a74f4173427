"""The values of ``--since`` and ``--every``: spans, times and dates."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import click

from .._display.text import format_duration
from ..activity import instant

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_SPAN = re.compile(r"(?=\d)" + "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "wdhms"), re.ASCII)
_ISO_8601 = re.compile(
    r"P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII
)


def parse_span(text: str) -> timedelta | None:
    """Parse a span such as ``2h30m``, ``1.5h``, ``3d``, ``1w`` or ``PT2H``; return ``None`` if *text* is not a span.

    ``m`` is minutes; larger units come first. Raises `ValueError` if the span is too long for a `timedelta`.
    """
    found = _SPAN.fullmatch(text) or _ISO_8601.fullmatch(text)
    if not found:
        return None
    try:
        return timedelta(
            **{unit: _number(digits) for unit, digits in zip(_UNITS, found.groups(), strict=True) if digits}
        )
    except (OverflowError, ValueError):  # ValueError: more digits than `int` takes
        raise ValueError(f"{text!r} is too long") from None


def _number(digits: str) -> float:
    return float(digits) if "." in digits else int(digits)


def parse_since(text: str) -> datetime | timedelta:
    """Parse a span, an ISO 8601 time with an offset or ``Z``, or a date or ``yesterday``: midnight in the local zone.

    Raises `ValueError` for anything else, and for a span that starts before the year 1.
    """
    if (span := parse_span(text)) is not None:
        try:
            instant(span)
        except ValueError:
            raise ValueError(f"{text!r} is too long: it starts before the year 1") from None
        return span
    if (day := _parse_day(text)) is not None:
        try:
            return datetime.combine(day, time()).astimezone()
        except (OverflowError, ValueError, OSError):
            raise ValueError(f"{text!r} has no midnight in the local time zone") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a span such as 2h30m, 90m, 3d or 1w nor a time such as 2026-11-23T08:00Z, nor a date"
        ) from None
    if moment.utcoffset() is None:
        example = moment.isoformat()
        raise ValueError(f"{text!r} has no time zone; append Z or an offset, e.g. {example}Z or {example}+01:00")
    return moment


def _parse_day(text: str) -> date | None:
    if text == "yesterday":
        return datetime.now().astimezone().date() - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def describe_since(text: str, since: datetime | timedelta, now: datetime) -> tuple[str, str] | None:
    """What is to be said about the value *text*, that it means *since*: the kind of message, and the message."""
    if isinstance(since, timedelta):
        return None
    if since > now:
        return "warning", f"--since {text} lies in the future: every idle kernel is selected"
    if _parse_day(text) is None:
        return None
    return "note", f"--since {text} means {since:%Y-%m-%d %H:%M %Z}, {format_duration(now - since)} ago"


def parse_every(text: str) -> timedelta:
    """Parse a span longer than zero; raises `ValueError` for anything else."""
    if span := parse_span(text):
        return span
    raise ValueError(f"{text!r} is not a period such as 5m, 1h30m or 90s")


def parsed_by(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, str | None], object]:
    def read(_: click.Context, __: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


def read_since(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | timedelta | None:
    """Parse the value of an option, and say on standard error what is not obvious about it."""
    since = parsed_by(parse_since)(context, parameter, value)
    if value is not None and not context.resilient_parsing and isinstance(since, datetime | timedelta):
        if message := describe_since(value, since, datetime.now(UTC)):
            with suppress(OSError):
                click.echo(": ".join(message), err=True)
        return since
    return None
