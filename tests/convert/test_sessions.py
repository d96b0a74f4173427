"""JSON becomes models and JSON again without loss; undocumented JSON is refused with its path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions._convert.codec import to_wire
from aidp_sessions._convert.strict import structure_items, structure_sessions
from aidp_sessions.errors import ResponseDecodeError
from aidp_sessions.models import ExecutionState, KernelSummary, SessionSummary, WorkspaceRef, WorkspaceSummary

from ..helpers.decoding import NAMED, encode, refusal, sessions_in
from ..helpers.strategies import (
    KERNEL_FIELDS,
    SESSION_FIELDS,
    WORKSPACE_FIELDS,
    Wire,
    brief,
    moment_of,
    session_without_nulls,
    wire_collections,
    wire_sessions,
    wire_workspaces,
    without_nulls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKSPACE: Final[Wire] = {
    "key": "k",
    "displayName": "d",
    "type": "USER",
    "lifecycleState": "ACTIVE",
    "timeCreated": "2026-04-30T00:00:00Z",
}
NOT_TEXT: Final[list[tuple[object, str]]] = [
    (None, "null"),
    (5, "a number"),
    (1.5, "a number"),
    (True, "a boolean"),
    ([], "an array"),
    ({}, "an object"),
]


def workspace_refusal(wire: Wire) -> tuple[str, str]:
    with pytest.raises(ResponseDecodeError) as caught:
        structure_items([wire], WorkspaceSummary, "$.items")
    return caught.value.path, caught.value.message


def unknown(wire: Mapping[str, object], known: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name, value in wire.items() if name not in known}


def expected_kernel(wire: dict[str, Any]) -> KernelSummary:
    return KernelSummary(
        name=wire["name"],
        id=wire.get("id"),
        execution_state=wire.get("execution_state"),
        last_activity=moment_of(wire.get("last_activity")),
        connections=wire.get("connections"),
        extra=unknown(wire, KERNEL_FIELDS),
    )


def expected_session(wire: dict[str, Any]) -> SessionSummary:
    return SessionSummary(
        id=wire.get("id"),
        name=wire.get("name"),
        path=wire.get("path"),
        type=wire.get("type"),
        cluster_id=wire.get("cluster_id"),
        agent_flow_key=wire.get("agentFlowKey"),
        lifecycle_state=wire.get("lifecycleState"),
        kernel=None if wire.get("kernel") is None else expected_kernel(wire["kernel"]),
        workspace_key="w",
        extra=unknown(wire, SESSION_FIELDS),
    )


def expected_workspace(wire: dict[str, Any]) -> WorkspaceSummary:
    created = moment_of(wire["timeCreated"])
    assert created is not None
    return WorkspaceSummary(
        key=wire["key"],
        display_name=wire["displayName"],
        type=wire["type"],
        lifecycle_state=wire["lifecycleState"],
        time_created=created,
        time_updated=moment_of(wire.get("timeUpdated")),
        description=wire.get("description"),
        lifecycle_details=wire.get("lifecycleDetails"),
        system_tags=wire.get("systemTags"),
        created_by=wire.get("createdBy"),
        created_by_name=wire.get("createdByName"),
        updated_by=wire.get("updatedBy"),
        updated_by_name=wire.get("updatedByName"),
        default_catalog_key=wire.get("defaultCatalogKey"),
        is_private_network_enabled=wire.get("isPrivateNetworkEnabled"),
        aic_user_schema_name=wire.get("aicUserSchemaName"),
        extra=unknown(wire, WORKSPACE_FIELDS),
    )


@brief
@given(st.lists(wire_sessions, max_size=4))
def test_every_field_of_a_session_is_decoded_to_its_attribute(items: list[dict[str, Any]]) -> None:
    """Known fields, nulls, absent and unknown fields decode to models written by hand."""
    assert sessions_in(encode({"items": items})) == tuple(map(expected_session, items))


@brief
@given(wire_collections)
def test_sessions_are_encoded_to_the_json_they_came_from(document: dict[str, Any]) -> None:
    """JSON to model to JSON is the identity, except that null fields become absent."""
    sessions = sessions_in(encode(document))

    assert [to_wire(session) for session in sessions] == [session_without_nulls(item) for item in document["items"]]


@brief
@given(wire_sessions)
def test_decoding_what_was_encoded_gives_equal_models(wire: Wire) -> None:
    """Model to JSON to model is the identity."""
    first = sessions_in(encode([wire]))

    assert sessions_in(encode([to_wire(session) for session in first])) == first


@brief
@given(wire_workspaces)
def test_workspaces_survive_encoding_and_decoding(wire: dict[str, Any]) -> None:
    """All sixteen fields of a workspace and the unknown ones."""
    (workspace,) = structure_items([json.loads(encode(wire))], WorkspaceSummary, "$.items")

    assert workspace == expected_workspace(wire)
    assert to_wire(workspace) == without_nulls(wire, WORKSPACE_FIELDS)


def test_the_key_of_the_workspace_is_not_encoded() -> None:
    """`workspace_key` is ours; an unknown field of the service with that name is kept."""
    (session,) = structure_sessions([{"workspace_key": 5}], "$", WorkspaceRef("ours"))

    assert (session.workspace_key, session.extra) == ("ours", {"workspace_key": 5})
    assert to_wire(session) == {"workspace_key": 5}
    assert to_wire(SessionSummary(id="s", workspace_key="ours")) == {"id": "s"}


def test_a_field_takes_precedence_over_an_unknown_field_of_its_name() -> None:
    """A model made by hand may have both; the field is encoded."""
    assert to_wire(SessionSummary(id="a", extra={"id": "b", "path": "p"})) == {"id": "a", "path": "p"}


def test_a_kernel_alone_can_be_encoded() -> None:
    """Zero connections are encoded; only absent fields are omitted."""
    kernel = KernelSummary(name="", connections=0, extra={"reason": None})

    assert to_wire(kernel) == {"reason": None, "name": "", "connections": 0}


@pytest.mark.parametrize("state", [*ExecutionState, "hibernating", ""])
def test_states_are_not_changed(state: str) -> None:
    """An undocumented state is not an error, and a documented one equals its name."""
    (session,) = sessions_in(encode([{"kernel": {**NAMED, "execution_state": str(state)}}]))

    assert session.kernel == KernelSummary(name="python3", execution_state=state)
    assert to_wire(session) == {"kernel": {"name": "python3", "execution_state": state}}


@pytest.mark.parametrize("field", [name for name in SESSION_FIELDS if name != "kernel"])
@pytest.mark.parametrize(("value", "kind"), NOT_TEXT[1:])
def test_a_text_field_of_a_session_takes_only_text(field: str, value: object, kind: str) -> None:
    """Nothing is converted to a string; the message names the type."""
    assert refusal(encode({"items": [{}, {field: value}]})) == (f"$.items[1].{field}", f"expected a string, not {kind}")


@pytest.mark.parametrize("field", ["id", "execution_state", "last_activity"])
@pytest.mark.parametrize(("value", "kind"), NOT_TEXT[1:])
def test_a_text_field_of_a_kernel_takes_only_text(field: str, value: object, kind: str) -> None:
    """The path includes the kernel."""
    expected = (f"$.items[0].kernel.{field}", f"expected a string, not {kind}")

    assert refusal(encode({"items": [{"kernel": {**NAMED, field: value}}]})) == expected


@pytest.mark.parametrize(("value", "kind"), NOT_TEXT)
def test_the_name_of_a_kernel_must_be_text_and_null_is_not(value: object, kind: str) -> None:
    """The one required field of a kernel has no default."""
    expected = ("$.items[0].kernel.name", f"expected a string, not {kind}")

    assert refusal(encode({"items": [{"kernel": {"name": value}}]})) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [("1", "a string"), (True, "a boolean"), (1.0, "a number"), (2.5, "a number"), ([], "an array"), ({}, "an object")],
)
def test_connections_take_only_a_whole_number(value: object, kind: str) -> None:
    """Neither "1" nor 1.0 nor true is a count."""
    expected = ("$.items[0].kernel.connections", f"expected an integer, not {kind}")

    assert refusal(encode({"items": [{"kernel": {**NAMED, "connections": value}}]})) == expected


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        (None, "$", 'expected an object with "items", not null'),
        (5, "$", 'expected an object with "items", not a number'),
        ("items", "$", 'expected an object with "items", not a string'),
        (False, "$", 'expected an object with "items", not a boolean'),
        ({}, "$.items", "required field missing"),
        ({"data": []}, "$.items", "required field missing"),
        ({"items": None}, "$.items", "expected an array, not null"),
        ({"items": {}}, "$.items", "expected an array, not an object"),
        ({"items": "x"}, "$.items", "expected an array, not a string"),
        ({"items": [None]}, "$.items[0]", "expected an object, not null"),
        ({"items": [{}, {}, 5]}, "$.items[2]", "expected an object, not a number"),
        ({"items": [[]]}, "$.items[0]", "expected an object, not an array"),
        ([{}, "x"], "$[1]", "expected an object, not a string"),
        ([{"id": 5}], "$[0].id", "expected a string, not a number"),
        ({"items": [{"kernel": "x"}]}, "$.items[0].kernel", "expected an object, not a string"),
        ({"items": [{"kernel": []}]}, "$.items[0].kernel", "expected an object, not an array"),
        ({"items": [{"kernel": {}}]}, "$.items[0].kernel.name", "required field missing"),
        ({"items": [{}, {"kernel": {"id": "k"}}]}, "$.items[1].kernel.name", "required field missing"),
        (
            {"items": [{"kernel": {**NAMED, "last_activity": "yesterday"}}]},
            "$.items[0].kernel.last_activity",
            "expected an ISO 8601 timestamp, not 'yesterday'",
        ),
    ],
)
def test_a_wrong_shape_is_refused_with_its_path(document: object, path: str, message: str) -> None:
    """An undocumented body never means "no sessions"."""
    assert refusal(encode(document)) == (path, message)


@pytest.mark.parametrize("field", ["key", "displayName", "type", "lifecycleState", "timeCreated"])
def test_a_workspace_must_have_its_required_fields(field: str) -> None:
    """The error has the wire name of each of the five, and null counts as missing."""
    without = {name: value for name, value in WORKSPACE.items() if name != field}

    assert workspace_refusal(without) == (f"$.items[0].{field}", "required field missing")
    assert workspace_refusal({**WORKSPACE, field: None}) == (f"$.items[0].{field}", "expected a string, not null")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("createdByName", 5, "expected a string, not a number"),
        ("timeUpdated", "soon", "expected an ISO 8601 timestamp, not 'soon'"),
        ("isPrivateNetworkEnabled", "true", "expected a boolean, not a string"),
        ("isPrivateNetworkEnabled", 1, "expected a boolean, not a number"),
        ("systemTags", [], "expected an object of objects: namespace, key, value"),
        ("systemTags", {"orcl": "x"}, "expected an object of objects: namespace, key, value"),
    ],
)
def test_an_optional_field_of_a_workspace_is_strict_too(field: str, value: object, message: str) -> None:
    """The path has the wire name of the field."""
    assert workspace_refusal({**WORKSPACE, field: value}) == (f"$.items[0].{field}", message)


@brief
@given(st.data())
def test_the_path_is_that_of_the_one_wrong_value(data: st.DataObject) -> None:
    """Among any number of valid sessions."""
    items: list[dict[str, Any]] = data.draw(st.lists(wire_sessions, min_size=1, max_size=4))
    index = data.draw(st.integers(0, len(items) - 1))
    field = data.draw(st.sampled_from(SESSION_FIELDS))
    items[index] = {**items[index], field: data.draw(st.integers() | st.booleans() | st.just([]))}

    assert refusal(encode({"items": items}))[0] == f"$.items[{index}].{field}"
