"""The measurements as plain values, and the processes that run them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final, cast

import attrs

from .target import Target

if TYPE_CHECKING:
    from .measure import Figures

_MAX_SECONDS: Final = 300


@attrs.frozen(kw_only=True)
class FanningOut:
    """One peer asks many workspaces."""

    target: Target
    peer: str
    workspaces: int
    concurrency: int
    sessions: int = 20
    latency_ms: int = 0
    uvloop: bool = False
    ticker: bool = False


@attrs.frozen(kw_only=True)
class Reading:
    """One very large workspace."""

    target: Target
    reader: str
    sessions: int


@attrs.frozen(kw_only=True)
class Decoding:
    """No network."""

    decoder: str
    batches: int
    sessions: int = 20


@attrs.frozen(kw_only=True)
class Throttling:
    """Ours, while a tenth of the workspaces is throttled, or while none is."""

    target: Target
    workspaces: int
    throttled: bool
    concurrency: int = 32
    latency_ms: int = 50


Job = FanningOut | Reading | Decoding | Throttling
_KINDS: Final = {kind.__name__: kind for kind in (FanningOut, Reading, Decoding, Throttling)}


def job_of(document: dict[str, dict[str, object]]) -> Job:
    ((name, values),) = document.items()
    if "target" in values:
        values["target"] = Target(**cast("dict[str, str]", values["target"]))
    return _KINDS[name](**values)  # type: ignore[arg-type]


def run(job: Job) -> Figures:
    """Measure *job* in a new process, named in the error if it fails."""
    module = __name__.rpartition(".")[0] + ".child"
    finished = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", module],
        input=json.dumps({type(job).__name__: attrs.asdict(job)}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=_MAX_SECONDS,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"the measurement of {job} failed; see above")
    return cast("Figures", json.loads(finished.stdout))
