"""Key and token files, and the one place that writes one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from .keys import PrivateKey

KeySource = str | bytes | os.PathLike[str] | PrivateKey
"""A private key: its PEM text, the path of a file that holds it, or the loaded key."""


FileSignature = tuple[int, int, int] | None


_LONGEST_PATH: Final = 500


def _expand(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  # Path's own raises where the user after ~ is unknown


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """Read a UTF-8 file, ``~`` expanded; raises a `ConfigError` that begins with *what*, and names the path."""
    try:
        return _expand(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        reason = "does not exist"
    except UnicodeDecodeError:
        reason = "is not a text file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise ConfigError(f"{what} {path} {reason}")


def holds_path(value: str) -> bool:
    """Is *value*, of a variable that may hold a secret or the place of one, an absolute path?"""
    return Path(value).is_absolute()


def replace_file(path: str | os.PathLike[str], text: str) -> FileSignature:
    """Write *text* so that readers see the old file or the new one, and only its owner may read it.

    A link stays a link. Returns the signature of what was written; raises `ConfigError` that names the path.
    """
    target = Path(os.path.realpath(_expand(path)))
    scratch: str | None = None
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # made with mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            written = _signature(os.fstat(file.fileno()))
        os.replace(scratch, target)  # noqa: PTH105  # beside mkstemp, which gives a string
    except OSError as error:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
    return written


def file_signature(path: str | os.PathLike[str]) -> FileSignature:
    """What changes when the file is written anew: time of change, size and inode; ``None`` if there is no such file."""
    try:
        found = _expand(path).stat()
    except (OSError, ValueError):
        return None
    return _signature(found)


def _signature(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mtime_ns, found.st_size, found.st_ino


def key_path(source: KeySource) -> str | os.PathLike[str] | None:
    """The file that *source* names, or ``None`` if *source* is the key itself."""
    if isinstance(source, str):
        # A key that lost its first line must not be taken for a path, for paths are shown in errors.
        is_text = "-----BEGIN" in source or "\n" in source or not 0 < len(source) <= _LONGEST_PATH
        return None if is_text else source
    return source if isinstance(source, os.PathLike) else None


def read_key(source: KeySource, pass_phrase: str | bytes | None, origin: str = "private key") -> PrivateKey:
    """Load a key from wherever *source* has it; *origin* begins every error.

    Raises `ConfigError` if the file cannot be read, `CredentialsError` if it holds no usable RSA private key.
    """
    if isinstance(source, PrivateKey):
        return source
    path = key_path(source)
    if path is not None:
        return PrivateKey.load(read_text(path, f"{origin} file"), pass_phrase, origin=f"{origin} file {path}")
    if isinstance(source, str | bytes):
        return PrivateKey.load(source, pass_phrase, origin=origin)
    raise TypeError(f"private_key must be PEM text, bytes or a path, not {type(source).__name__}")
