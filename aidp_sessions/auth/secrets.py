"""Keeps secrets out of pickles and error messages."""

from __future__ import annotations

import re
from typing import Final, NoReturn

# Lost line breaks and pasted files turn up with characters that no region, OCID or path has, or with these words.
_PLAIN: Final = r"[\w .,:/\\~#()+-]{0,300}"
_SECRETS: Final = r"BEGIN |eyJ|(?i:pass_?phrase|key_content) ?:"
_HIDDEN: Final = "(not shown, because it may contain a secret)"


class NotPicklable:
    """Base of the objects that hold a private key, which must not leave the process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} holds a private key and cannot be pickled or copied; create one where it is needed"
        )


def may_be_shown(value: str) -> bool:
    """Whether an error may repeat the value of a setting, which may by mistake hold a secret or several lines."""
    return re.fullmatch(_PLAIN, value.strip()) is not None and re.search(_SECRETS, value) is None


def shown(value: str) -> str:
    """Return *value* quoted, for an error message, unless it may contain a secret."""
    return repr(value) if may_be_shown(value) else _HIDDEN
