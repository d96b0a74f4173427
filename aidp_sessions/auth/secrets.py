"""What objects that hold secrets have in common."""

from __future__ import annotations

from typing import NoReturn


class NotPicklable:
    """Base of the objects that hold a private key, which must not leave the process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} holds a private key and cannot be pickled or copied; create one where it is needed"
        )
