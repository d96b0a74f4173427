"""Key and token files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError
from .atomic_file import atomic_writer

if TYPE_CHECKING:
    from .keys import KeySource, PrivateKey

FileVersion = tuple[int, int, int] | None
"""What changes when a file is replaced: modification time, size and inode; ``None`` if there is no file."""

_MAX_PATH_LENGTH: Final = 500


def expand(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  # Path's own raises where the user after ~ is unknown


def read_text(path: str | os.PathLike[str], name: str) -> str:
    """Read a UTF-8 file, ``~`` expanded; raises `ConfigError`, which begins with *name* and gives the path."""
    try:
        return expand(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        reason = "does not exist"
    except UnicodeDecodeError:
        reason = "is not a text file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise ConfigError(f"{name} {path} {reason}")


def is_path(value: str) -> bool:
    """Whether *value* is a path rather than the secret itself: variables of resource principals hold either."""
    return Path(value).is_absolute()


def replace_file(path: str | os.PathLike[str], text: str) -> FileVersion:
    """Write *text* with `atomic_writer`, readable for the owner only.

    Returns the version written; raises `ConfigError`, which gives the path.
    """
    try:
        with atomic_writer(expand(path), mode=0o600) as write:
            return _version(write(text))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


def file_version(path: str | os.PathLike[str]) -> FileVersion:
    try:
        return _version(expand(path).stat())
    except (OSError, ValueError):
        return None


def _version(status: os.stat_result) -> FileVersion:
    return status.st_mtime_ns, status.st_size, status.st_ino


def key_path(private_key: KeySource) -> str | os.PathLike[str] | None:
    """The path in *private_key*, or ``None`` if it is the key itself."""
    if isinstance(private_key, str):
        # Errors show paths, so a key that lost its first line must not be taken for one.
        is_text = "-----BEGIN" in private_key or "\n" in private_key or not 0 < len(private_key) <= _MAX_PATH_LENGTH
        return None if is_text else private_key
    return private_key if isinstance(private_key, os.PathLike) else None


def read_key(private_key: KeySource, pass_phrase: str | bytes | None, source: str = "private key") -> PrivateKey:
    """Load a key; *source* begins every error.

    Raises `ConfigError` if its file cannot be read, `CredentialsError` if it is not a usable RSA private key.
    """
    from .keys import PrivateKey  # noqa: PLC0415  # `cryptography` takes long to import

    if isinstance(private_key, PrivateKey):
        return private_key
    path = key_path(private_key)
    if path is not None:
        return PrivateKey.load(read_text(path, f"{source} file"), pass_phrase, source=f"{source} file {path}")
    if isinstance(private_key, str | bytes):
        return PrivateKey.load(private_key, pass_phrase, source=source)
    raise TypeError(f"private_key must be PEM text, bytes or a path, not {type(private_key).__name__}")
