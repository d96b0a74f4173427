"""The decoders of the peers: each returns a function from the bytes of an answer to its sessions."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from aidp_sessions.models import WorkspaceRef

from . import floors
from .peers import async_base_client, notebook_client
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Decode = Callable[[bytes], Sequence[object]]


def ours() -> Decode:
    from aidp_sessions._operations.buffering import SessionBuffer  # noqa: PLC0415
    from aidp_sessions._operations.messages import RawResponse  # noqa: PLC0415

    return lambda body: SessionBuffer(WorkspaceRef("w")).decode(RawResponse(200, {}, body)).sessions


def official() -> Decode:
    deserialize = notebook_client(_nobody()).base_client.deserialize_response_data
    return lambda body: cast("Sequence[object]", deserialize(body, "SessionCollection").items)


def oci_async() -> Decode:
    client: Any = async_base_client(_nobody())
    deserialize = client._deserialize  # noqa: SLF001  # the part of a call that decodes
    return lambda body: cast("Sequence[object]", deserialize(json.loads(body), "SessionCollection").items)


def plain_cattrs() -> Decode:
    import cattrs  # noqa: PLC0415
    import orjson  # noqa: PLC0415

    converter = cattrs.Converter()
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    return lambda body: converter.structure(orjson.loads(body), floors.FloorCollection).items


def msgspec_into_attrs() -> Decode:
    return lambda body: floors.decode(body).items


def json_alone() -> Decode:
    return lambda body: cast("Sequence[object]", json.loads(body)["items"])


def _nobody() -> Target:
    return Target.of("http://127.0.0.1:1")


DECODERS: Final[dict[str, Callable[[], Decode]]] = {
    "aidp_sessions": ours,
    "NotebookClient": official,
    "oci AsyncBaseClient": oci_async,
    "floor: cattrs over orjson": plain_cattrs,
    "floor: msgspec into attrs": msgspec_into_attrs,
    "floor: json, no objects": json_alone,
}
