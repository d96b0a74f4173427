"""Checks of arguments that several methods take."""

from __future__ import annotations

import inspect


def check_type(value: object, expected: type, name: str) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a {expected.__name__}, not {value!r}")


def check_listener(value: object) -> None:
    if value is None:
        return
    if not callable(value) or any(map(inspect.iscoroutinefunction, (value, type(value).__call__))):
        raise TypeError(f"on_event must be a plain function of one event, not {value!r}")


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
