"""Which rows and columns are printed, in which order and format; the same options for every command with rows."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import attrs
import click
import jmespath
from jmespath.exceptions import JMESPathError

from . import formats
from .options import output_option
from .output import print_text
from .since import parsed_by
from .tables import fit_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jmespath.parser import ParsedResult
    from rich.table import Table

    from .options import ShapeOptions

T = TypeVar("T")
_FORMATS: Final = {"summary": ("table",), "query": ("json", "jsonl"), "columns": ("table", "csv")}
"""For each option the formats that it needs: the first is the default on a terminal, the last elsewhere."""


def shape_options(known: Sequence[str]) -> tuple[Callable[[Any], Any], ...]:
    """The options that shape rows whose columns are *known*."""

    def column(text: str) -> str:
        name = text.strip().lower().replace("-", "_")
        if name not in known:
            raise ValueError(f"{text!r} is not a column; the columns are {', '.join(known)}")
        return name

    def order(text: str) -> str:
        return "-" + column(text[1:]) if text.startswith("-") else column(text)

    return (
        click.option(
            "--sort-by", metavar="COLUMN", callback=parsed_by(order), help="Sort by this column; -COLUMN: descending."
        ),
        click.option("--limit", metavar="N", type=click.IntRange(min=0), help="Show at most N rows."),
        click.option(
            "--columns",
            metavar="A,B,C",
            callback=parsed_by(lambda text: tuple(map(column, text.split(",")))),
            help=f"Show these columns, on a terminal as a table, otherwise as CSV: {', '.join(known)}.",
        ),
        click.option(
            "--query",
            metavar="JMESPATH",
            callback=parsed_by(_parse_query),
            help="Print what this expression selects from the array of --output json.",
        ),
        click.option("--summary", is_flag=True, help="Show the totals alone, as tables."),
        click.option("--no-header", is_flag=True, help="Leave out the heading of a table or CSV."),
        click.option("--local-time", is_flag=True, help="Show times in the local time zone, in tables and CSV."),
        output_option("table", "jsonl", "json", "csv"),
    )


def _parse_query(text: str) -> ParsedResult:
    try:
        return jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"{text!r} is not a JMESPath expression: {error}".partition("\n")[0]) from None


def shaped_format(chosen: ShapeOptions, output: str | None) -> str:
    """The output format: *output*, that of --output, else what the other options need, on a terminal or elsewhere."""
    given = [name for name in _FORMATS if cast("Mapping[str, object]", chosen)[name]]
    if len(given) > 1:
        raise click.UsageError(f"--{given[0]} cannot be combined with --{given[1]}")
    usual = ("table", "csv") if chosen["no_header"] else ("table", "jsonl")
    allowed = _FORMATS[given[0]] if given else usual
    if given and output not in (None, *allowed):
        raise click.UsageError(f"--{given[0]} needs --output {' or '.join(allowed)}")
    return output or (allowed[0] if sys.stdout.isatty() else allowed[-1])


def is_shaped(chosen: ShapeOptions) -> bool:
    """Whether the rows must be complete before the first is printed."""
    return not (chosen["sort_by"] is None and chosen["limit"] is None and chosen["query"] is None)


@attrs.frozen(kw_only=True)
class Rows(Generic[T]):
    """The rows that a command prints.

    Attributes:
        items: what the rows are made of, in their usual order.
        columns: the names of all columns.
        record: makes the columns of an item, for tables and CSV.
        document: makes the JSON of an item.
    """

    items: Sequence[T]
    columns: Sequence[str]
    record: Callable[[T], Mapping[str, object]]
    document: Callable[[T], Mapping[str, object]]

    def chosen(self, options: ShapeOptions) -> Sequence[T]:
        """The items to show, in their order."""
        items, column = self.items, options["sort_by"]
        if column is not None:
            name, descending = column.removeprefix("-"), column.startswith("-")
            keyed = [(cast("Any", self.record(item)[name]), item) for item in items]
            known = sorted((pair for pair in keyed if pair[0] is not None), key=itemgetter(0), reverse=descending)
            items = [item for _, item in (*known, *(pair for pair in keyed if pair[0] is None))]
        return items[: options["limit"]]

    def print(self, options: ShapeOptions, output: str) -> None:
        """Print the chosen rows as CSV or JSON."""
        items = self.chosen(options)
        if output == "csv":
            columns = options["columns"] or self.columns
            records = ([record[name] for name in columns] for record in self._records(items, options))
            print_text(formats.csv_text(None if options["no_header"] else columns, records))
        else:
            _print_json([self.document(item) for item in items], options["query"], as_lines=output == "jsonl")

    def table(self, options: ShapeOptions, room: int, usual: Callable[[Sequence[T]], Table]) -> Table | None:
        """The chosen rows and columns as a table; *usual* makes it if no columns are chosen. ``None``: no rows."""
        items, columns = self.chosen(options), options["columns"]
        if not items or options["summary"]:
            return None
        made = usual(items) if columns is None else fit_records(columns, self._records(items, options), room)
        made.show_header = not options["no_header"]
        return made

    def _records(self, items: Sequence[T], options: ShapeOptions) -> Iterator[Mapping[str, object]]:
        for item in items:
            record = self.record(item)
            yield {name: _local(value) for name, value in record.items()} if options["local_time"] else record


def _local(value: object) -> object:
    return value.astimezone().isoformat(timespec="seconds") if isinstance(value, datetime) else value


def _print_json(documents: Sequence[Mapping[str, object]], query: ParsedResult | None, *, as_lines: bool) -> None:
    found: object = documents
    if query is not None:
        try:
            found = query.search(documents)
        except JMESPathError as error:
            raise click.ClickException(f"--query: {error}".partition("\n")[0]) from None
    if not as_lines:
        print_text(json.dumps(found, indent=2) + "\n")
    else:
        lines = cast("Sequence[object]", found) if isinstance(found, list) else [found]
        print_text("".join(json.dumps(line) + "\n" for line in lines))
