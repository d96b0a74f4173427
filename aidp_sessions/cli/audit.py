"""The audit file: who decided what on which evidence, and what came of it; one JSON object per line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

import attrs

from .formats import record_lines
from .output import writing_to
from .report import signer_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..client import SessionsClient


@attrs.frozen
class Audit:
    """Appends records to *file*, if there is one, each with *signer*, whose credentials sign the requests."""

    file: TextIO | None
    signer: Mapping[str, str | None]

    @classmethod
    def of(cls, client: SessionsClient, file: TextIO | None) -> Audit:
        facts = signer_facts(client.signer)
        return cls(file, {"type": facts.pop("signer"), **facts})

    def append(self, records: Iterable[Mapping[str, object]]) -> None:
        """Append *records*, and return when they are on the disk."""
        if self.file is None:
            return
        with writing_to(self.file.name):
            self.file.write(record_lines({**record, "signer": self.signer} for record in records))
            self.file.flush()
            os.fsync(self.file.fileno())
