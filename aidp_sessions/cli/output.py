"""Standard output and standard error that are closed, full or broken."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from .._display.text import strip_control_chars
from ..auth.atomic_file import atomic_writer
from .statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TextIO


class Application(click.Group):
    """A group of commands that ends without a traceback after any `OSError` and after Ctrl-C."""

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # as click declares it
        _replace_closed_streams()
        try:
            return super().main(*args, **options)
        except OSError as error:
            with suppress(OSError):
                click.echo(f"failed: {_describe(error)}", err=True)
            sys.exit(Status.INCOMPLETE)
        finally:
            _discard_unwritten(sys.stdout)
            _discard_unwritten(sys.stderr)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)  # prints --help
        except BrokenPipeError:
            raise click.exceptions.Exit(Status.PIPE_CLOSED) from None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(Status.INTERRUPTED)
        except BrokenPipeError:
            ctx.exit(Status.PIPE_CLOSED)


@contextmanager
def writing_to(name: str) -> Generator[None]:
    """Put *name* into each `OSError` of the block: one of a write does not say what could not be written."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from None


def print_text(text: str) -> None:
    with writing_to("standard output"):
        click.echo(text, nl=False)


def is_standard_output(path: str) -> bool:
    """Whether standard output goes to the file *path*: replacing it would lose what is printed."""
    with suppress(OSError):
        return Path(path).is_file() and Path(path).samefile(f"/dev/fd/{sys.stdout.fileno()}")
    return False


@contextmanager
def file_writer(path: str | None, option: str) -> Generator[Callable[[Callable[[], str]], None]]:
    """Yield a function that writes the text that its argument makes to *path*; without *path* it does nothing.

    A *path* that cannot be written is wrong usage of *option*.
    """
    if path is None:
        yield lambda _: None
        return
    if is_standard_output(path):
        raise click.BadParameter(f"{path!r} is also the standard output", param_hint=f"'{option}'")
    with ExitStack() as stack:
        try:
            write = stack.enter_context(atomic_writer(path))
        except OSError as error:
            reason = f"{path!r} cannot be written: {error.strerror}"
            raise click.BadParameter(reason, param_hint=f"'{option}'") from None

        @writing_to(path)
        def save(make_text: Callable[[], str]) -> None:
            write(make_text())

        yield save


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    return strip_control_chars(f"{error.filename}: {reason}" if error.filename else reason)


def _replace_closed_streams() -> None:
    """Python sets a stream to ``None`` that was closed when it started."""
    if cast("TextIO | None", sys.stdout) is None:
        # To write to a file that is open for reading fails with the same error as to write to a closed one.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8", closefd=False)
    if cast("TextIO | None", sys.stderr) is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)


def _discard_unwritten(stream: TextIO) -> None:
    """Otherwise Python tries to write it again at exit, fails, and makes the exit status 120."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
