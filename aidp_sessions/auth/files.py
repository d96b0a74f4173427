"""Key and token files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError
from .atomic_file import atomic_writer
from .secrets import may_be_shown

if TYPE_CHECKING:
    from .keys import KeySource, PrivateKey

FileVersion = tuple[int, int, int] | None
"""What changes when a file is replaced: modification time, size and inode; ``None`` if there is no regular file."""

_MAX_PATH_LENGTH: Final = 500


def expand(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # the user after ~ is not known
        return Path(path)


class TextFile(os.PathLike[str]):
    """A UTF-8 file that can be read again; the text of a pipe, which can be read only once, is kept.

    ``str()`` gives *name* and the path, for errors. A path that is a string is left out unless it is absolute or begins
    with ``~``: the setting may hold a key or a token by mistake.

    Args:
        path: ``~`` is expanded.
        name: what the file is, such as ``"private key file"``.
        shows_path: ``False`` for a setting that usually is a secret itself.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, *, shows_path: bool = True) -> None:
        self._path = path
        self._name = name
        text = os.fspath(path)
        is_path = not isinstance(path, str) or text.startswith("~") or names_file(text)
        self._shown = f"{name} {text}" if shows_path and is_path and may_be_shown(text) else name
        self._kept: str | None = None

    @classmethod
    def at(cls, path: str | os.PathLike[str], name: str) -> TextFile:
        return path if isinstance(path, TextFile) else cls(path, name)

    @property
    def version(self) -> FileVersion:
        try:
            return _version(expand(self._path).stat())
        except (OSError, ValueError):
            return None

    def read(self) -> str:
        """Return the text; raises `ConfigError`, which names the file."""
        if self._kept is not None:
            return self._kept
        try:
            # Not "utf-8-sig", whose codec would be imported when it is first used.
            with expand(self._path).open(encoding="utf-8") as file:
                text = file.read().removeprefix("\ufeff")
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    self._kept = text
                return text
        except FileNotFoundError:
            reason = "does not exist"
        except UnicodeDecodeError:
            reason = "is not a text file"
        except (OSError, ValueError) as error:
            reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ConfigError(f"{self} {reason}")

    def replace(self, text: str) -> FileVersion:
        """Write *text* with `atomic_writer`, readable for the owner only, and return the version written.

        Raises `ConfigError`, which names the file.
        """
        path = expand(self._path)
        try:
            _check_replaceable(path)
            with atomic_writer(path, mode=0o600) as write:
                return _version(write(text))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{self} cannot be written: {reason}")

    def __fspath__(self) -> str:
        return os.fspath(self._path)

    def __str__(self) -> str:
        return self._shown


def _check_replaceable(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")


def _version(status: os.stat_result) -> FileVersion:
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def names_file(value: str) -> bool:
    """Whether *value* is a path rather than the secret itself: variables of resource principals hold either."""
    return Path(value).is_absolute()


def key_source(private_key: KeySource, name: str = "private key") -> KeySource:
    """Return *private_key*; if it is a path, as a `TextFile`."""
    if isinstance(private_key, str):
        # A key that lost its first line is no path either.
        is_key = "-----BEGIN" in private_key or "\n" in private_key or not 0 < len(private_key) <= _MAX_PATH_LENGTH
        return private_key if is_key else TextFile(private_key, f"{name} file")
    return TextFile.at(private_key, f"{name} file") if isinstance(private_key, os.PathLike) else private_key


def read_key(private_key: KeySource, pass_phrase: str | bytes | None, name: str = "private key") -> PrivateKey:
    """Load a key; *name* begins every error.

    Raises `ConfigError` if its file cannot be read, `CredentialsError` if it is not a usable RSA private key.
    """
    from .keys import PrivateKey  # noqa: PLC0415  # `cryptography` takes long to import

    source = key_source(private_key, name)
    if isinstance(source, PrivateKey):
        return source
    if isinstance(source, TextFile):
        return PrivateKey.load(source.read(), pass_phrase, source=str(source))
    if isinstance(source, str | bytes):
        return PrivateKey.load(source, pass_phrase, source=name)
    raise TypeError(f"private_key must be PEM text, bytes or a path, not {type(source).__name__}")
