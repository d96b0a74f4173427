"""The library's messages in the words of the command: options instead of arguments of Python."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from .._display.text import strip_control_chars

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_WORDS: Final = (
    (r"; pass platform_id, or set AIDP_INSTANCE_ID to its OCID", ""),  # `FIRST_STEPS` says more
    (r"\bplatform_id\b", "instance id"),
    (r"\bthe argument auth\b", "--auth"),
    (r"\b(auth|endpoint|region)=(?!\w)", r"--\1"),
    (r"\bmax_kernels=", "--max "),
    (r", or pass an http_session whose connector supports SOCKS", ""),
)
_ARGUMENTS: Final = (
    (r"^platform_id\b", "--instance-id"),
    (r"^workspace_key\b=?", "--workspace "),
    (r"^(endpoint|region|auth|proxy|path)\b", r"--\1"),
)
_OWN_PLATFORM: Final = (
    "set AIDP_INSTANCE_ID (or --instance-id) to the OCID of its AI Data Platform instance; ~/.oci/config needs user, "
    "tenancy, fingerprint, key_file and region, which `oci setup config` writes"
)
FIRST_STEPS: Final = {
    "to look around": "add --demo, which shows a made-up platform; no account is needed",
    "for your own platform": _OWN_PLATFORM,
}
"""The two ways on if nothing is configured."""


def in_options(text: str) -> str:
    """Name the options of the command where *text* names arguments of the library."""
    return re.sub(r"\bmax_share=([01]\.\d+)", _percentage, _replaced(text, _WORDS))


@contextmanager
def usage_errors() -> Generator[None]:
    """Raise the `ValueError` of a wrong argument as wrong usage of the command."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(_usage_in_options(strip_control_chars(str(error)))) from None


def _usage_in_options(text: str) -> str:
    """`in_options` of what is wrong with an argument, which begins with its name."""
    return in_options(_replaced(text, _ARGUMENTS))


def _replaced(text: str, words: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in words:
        text = re.sub(pattern, replacement, text)
    return text


def _percentage(share: re.Match[str]) -> str:
    return f"--max-share {100 * float(share[1]):.4g}%"
