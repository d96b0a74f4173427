"""Checks of arguments that several classes or methods take."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from inspect import iscoroutinefunction


def check_type(value: object, expected: type, name: str) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a {expected.__name__}, not {value!r}")


def check_string(value: object, name: str) -> str:
    """Return *value*. The error for another type does not show the value: it might be a key."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    return value


def check_signer(value: object) -> None:
    """The error does not show *value*: it might be a key."""
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in ("sign", "refresh")):
        what = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"signer must be a Signer, such as ApiKeySigner(...) or from_oci_signer(...), not {what}")


def check_function(value: object, requirement: str) -> None:
    """Refuse async functions too: the coroutine that they return would count as true, and never run."""
    if not callable(value) or any(map(iscoroutinefunction, (value, type(value).__call__))):
        raise TypeError(f"{requirement}, not {value!r}")


def check_result(result: object, requirement: str) -> bool:
    """Whether *result* is true. Refuses a coroutine, which always is, and closes it, for nothing will await it."""
    kind = type(result).__name__
    if isinstance(result, Awaitable):
        if isinstance(result, Coroutine):
            result.close()
        raise TypeError(f"{requirement}, not one that returns a {kind}")
    return bool(result)


def check_count(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")


def check_timeout(timeout: float) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout={timeout} must be more than zero seconds, and finite")
