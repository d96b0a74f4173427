"""Errors have the documented classes, attributes that survive a pickle, and a text that says where and what."""

from __future__ import annotations

import copy
import pickle
from typing import Final

import pytest
from multidict import CIMultiDict

import aidp_sessions
from aidp_sessions import errors
from aidp_sessions._operations.failures import attach_call, error_for
from aidp_sessions._operations.messages import RawResponse
from aidp_sessions.errors import (
    SERVICE_ERRORS,
    AidpError,
    ClientClosedError,
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PreconditionFailedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServiceError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
)
from aidp_sessions.models import KernelSummary, SessionSummary, WorkspaceRef
from aidp_sessions.results import FanOutError

TREE: Final[dict[type[AidpError], type[BaseException]]] = {
    AidpError: Exception,
    ConfigError: AidpError,
    CredentialsError: AidpError,
    TransportError: AidpError,
    ConnectionFailedError: TransportError,
    RequestTimeoutError: TransportError,
    ClientClosedError: TransportError,
    ResponseDecodeError: AidpError,
    ServiceError: AidpError,
    UnauthorizedError: ServiceError,
    NotFoundError: ServiceError,
    ConflictError: ServiceError,
    PreconditionFailedError: ServiceError,
    TooManyRequestsError: ServiceError,
    InternalServerError: ServiceError,
    FanOutError: AidpError,
}
LEAVES: Final = [cls for cls in TREE if cls is not FanOutError]
DEFAULTS: Final[dict[str, object]] = {
    "operation": None,
    "workspace_key": None,
    "workspace_name": None,
    "status": None,
    "code": None,
    "headers": {},
    "opc_request_id": None,
    "request_ids": (),
    "retry_after": None,
    "delivered": 0,
}
SESSION: Final = SessionSummary(id="s1", workspace_key="a", kernel=KernelSummary(name="python3"), extra={"x": [1]})


def filled(cls: type[AidpError], key: str = "analytics") -> AidpError:
    """An error of *cls* in which no attribute has its default."""
    error = cls("went wrong")
    error.operation = "list_sessions"
    error.workspace_key = error.workspace_name = key
    error.status = 418
    error.code = "Teapot"
    error.headers = {"opc-request-id": "ID-2"}
    error.opc_request_id = "ID-2"
    error.request_ids = ("ID", "ID-2")
    error.retry_after = 1.5
    error.delivered = 7
    if isinstance(error, ResponseDecodeError):
        error.path = "$.items[3].kernel"
    if isinstance(error, TransportError):
        error.permanent = True
    return error


def test_the_classes_are_exactly_the_documented_ones() -> None:
    """Each class has its documented parent, and the module defines no other class."""
    defined = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AidpError)} | {
        FanOutError
    }

    assert defined == set(TREE)
    assert {cls: cls.__bases__[0] for cls in defined} == TREE
    assert issubclass(FanOutError, ExceptionGroup)


@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_every_class_is_public(cls: type[AidpError]) -> None:
    """Every error that may be raised can be imported from the package."""
    assert getattr(aidp_sessions, cls.__name__) is cls
    assert cls.__name__ in aidp_sessions.__all__


def test_six_statuses_have_a_class_of_their_own() -> None:
    """401, 404, 409, 412, 429 and 500 are told apart by class; no other status is."""
    assert dict(SERVICE_ERRORS) == {
        401: UnauthorizedError,
        404: NotFoundError,
        409: ConflictError,
        412: PreconditionFailedError,
        429: TooManyRequestsError,
        500: InternalServerError,
    }


@pytest.mark.parametrize("cls", LEAVES, ids=lambda cls: cls.__name__)
def test_a_new_error_has_every_attribute(cls: type[AidpError]) -> None:
    """Attributes that do not apply are empty."""
    error = cls("why")

    assert {name: getattr(error, name) for name in DEFAULTS} == DEFAULTS
    assert error.message == "why"
    assert cls().message == ""


def test_a_new_fan_out_error_has_every_attribute() -> None:
    """The group has the same attributes as its members."""
    error = FanOutError("why", [NotFoundError("a")])

    assert {name: getattr(error, name) for name in DEFAULTS} == DEFAULTS
    assert (error.message, error.sessions) == ("why", ())


@pytest.mark.parametrize("cls", LEAVES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_error_comes_back_whole(cls: type[AidpError], protocol: int) -> None:
    """Class, message, text and every attribute survive."""
    error = filled(cls)
    back = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own

    assert type(back) is cls
    assert (vars(back), back.args, str(back)) == (vars(error), error.args, str(error))


@pytest.mark.parametrize("cls", LEAVES, ids=lambda cls: cls.__name__)
def test_a_copied_error_comes_back_whole(cls: type[AidpError]) -> None:
    """copy.copy keeps class, message and attributes."""
    error = filled(cls)
    back = copy.copy(error)

    assert (type(back), vars(back), str(back)) == (cls, vars(error), str(error))


def test_a_pickled_fan_out_error_keeps_its_members_and_sessions() -> None:
    """The group, the attributes of each member, and the collected sessions survive."""
    error = FanOutError.of([filled(NotFoundError, "a"), filled(ResponseDecodeError, "b")])
    error.sessions = (SESSION,)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own

    assert type(back) is FanOutError
    assert (back.message, back.sessions) == (error.message, (SESSION,))
    assert [(type(member), vars(member), str(member)) for member in back.exceptions] == [
        (type(member), vars(member), str(member)) for member in error.exceptions
    ]


def test_except_star_splits_a_fan_out_error_by_class() -> None:
    """Each handler sees the failures of its class, as a FanOutError, and the rest goes on."""
    missing, throttled, broken = filled(NotFoundError, "a"), filled(TooManyRequestsError, "b"), ConfigError("c")
    caught: dict[str, object] = {}

    with pytest.raises(FanOutError) as rest:  # the handlers raise the rest
        try:
            raise FanOutError.of([missing, throttled, broken])
        except* NotFoundError as group:
            caught["missing"] = (type(group), group.exceptions)
        except* ServiceError as group:
            caught["service"] = (type(group), group.exceptions)

    assert caught == {"missing": (FanOutError, (missing,)), "service": (FanOutError, (throttled,))}
    assert rest.value.exceptions == (broken,)


def test_the_parts_of_a_split_fan_out_error_keep_the_collected_sessions() -> None:
    """Code that handles one class of failure with except* still gets the sessions of the healthy workspaces."""
    error = FanOutError.of([filled(NotFoundError, "a"), filled(TooManyRequestsError, "b")])
    error.sessions = (SESSION,)
    matched, rest = error.split(NotFoundError)

    assert isinstance(matched, FanOutError)
    assert isinstance(rest, FanOutError)
    assert (matched.sessions, rest.sessions) == ((SESSION,), (SESSION,))


def test_except_clauses_of_the_family_catch_a_fan_out_error() -> None:
    """`except AidpError` catches the group as one error."""
    with pytest.raises(AidpError, match=r"^1 workspace failed: 'a'$"):
        raise FanOutError.of([filled(NotFoundError, "a")])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["a"], "1 workspace failed: 'a'"),
        (["a", "b c"], "2 workspaces failed: 'a', 'b c'"),
        (list("abcde"), "5 workspaces failed: 'a', 'b', 'c', 'd', 'e'"),
        (list("abcdefg"), "7 workspaces failed: 'a', 'b', 'c', 'd', 'e' and 2 more"),
    ],
)
def test_a_fan_out_error_names_the_first_five_workspaces(keys: list[str], message: str) -> None:
    """The text stays one line however many workspaces failed."""
    error = FanOutError.of([filled(NotFoundError, key) for key in keys])

    assert (str(error), error.message) == (message, message)


def named(key: str, name: str | None) -> AidpError:
    error = filled(NotFoundError, key)
    error.workspace_name = name
    return error


def test_a_fan_out_error_names_workspaces_by_their_display_names() -> None:
    """By its key where the name is not known."""
    error = FanOutError.of([named("51abe3fa", "Fraud detection"), named("e15a4ac0", None)])

    assert str(error) == "2 workspaces failed: 'Fraud detection', 'e15a4ac0'"


@pytest.mark.parametrize(
    ("key", "name", "text"),
    [
        ("51abe3fa", "Fraud detection", "'Fraud detection' (51abe3fa)"),
        ("51abe3fa", "it's\n", '"it\'s\\n" (51abe3fa)'),
        ("a\x1b[31m", "Red", "'Red' (a\\x1b[31m)"),
        ("churn", "churn", "'churn'"),
        ("churn", None, "'churn'"),
        ("churn", "", "'churn'"),
    ],
)
def test_the_text_names_the_workspace_and_its_key(key: str, name: str | None, text: str) -> None:
    """Only the key if the name is not known or is the same. Control characters are escaped in both."""
    assert str(named(key, name)) == (
        f"list_sessions of workspace {text}: 418 Teapot: went wrong (opc-request-id ID-2, 2 attempts)"
    )


def test_the_name_of_the_workspace_survives_a_pickle() -> None:
    error = named("51abe3fa", "Fraud detection")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own

    assert (back.workspace_name, str(back)) == ("Fraud detection", str(error))


def test_a_fan_out_error_needs_a_failure() -> None:
    """An empty group is a ValueError."""
    with pytest.raises(ValueError, match="empty"):
        FanOutError.of([])


def test_the_text_tells_operation_workspace_status_code_message_and_ids() -> None:
    """One line has everything that a support case needs."""
    assert str(filled(NotFoundError)) == (
        "list_sessions of workspace 'analytics': 418 Teapot: went wrong (opc-request-id ID-2, 2 attempts)"
    )


def test_the_text_of_a_decode_error_ends_with_the_path() -> None:
    """The text has the reason and the place in the document."""
    error = ResponseDecodeError("expected a string, not null", "$.items[0].kernel.name")
    error.operation = "list_sessions"

    assert str(error) == "list_sessions: expected a string, not null [at $.items[0].kernel.name]"
    assert (error.message, error.path) == ("expected a string, not null", "$.items[0].kernel.name")
    assert ResponseDecodeError("why").path == "$"


def test_the_text_leaves_out_what_is_not_known() -> None:
    """No None, no empty parentheses, no stray colon."""
    timeout = RequestTimeoutError("took too long")
    timeout.opc_request_id, timeout.request_ids = "ID", ("ID",)

    assert str(ConfigError("no such profile")) == "no such profile"
    assert str(timeout) == "took too long (opc-request-id ID)"


def test_a_failed_answer_keeps_its_headers_in_lower_case_without_credentials() -> None:
    """Headers can be logged: names are lower case, and cookies, tokens and signatures are gone."""
    headers = CIMultiDict(
        {
            "ETag": "1",
            "OPC-Request-ID": "ID",
            "X-Other": "Kept As Is",
            "Set-Cookie": "secret",
            "COOKIE": "secret",
            "Authorization": "secret",
            "Proxy-Authorization": "secret",
            "opc-obo-token": "secret",
        }
    )
    error = error_for(RawResponse(503, headers, b""), now=0.0)

    assert error is not None
    assert error.headers == {"etag": "1", "opc-request-id": "ID", "x-other": "Kept As Is"}
    assert "secret" not in f"{error!r}{error}{pickle.dumps(error)!r}"


def test_annotate_prefers_the_id_of_the_service() -> None:
    """`opc_request_id` is the service's own; `request_ids` are those that we sent."""
    error = NotFoundError("gone")
    error.headers = {"opc-request-id": "THEIRS"}
    attach_call(error, "list_sessions", WorkspaceRef("a"), ["OURS", "OURS-2"])

    assert (error.operation, error.workspace_key, error.workspace_name) == ("list_sessions", "a", None)
    assert (error.opc_request_id, error.request_ids) == ("THEIRS", ("OURS", "OURS-2"))


def test_annotate_names_the_workspace_if_the_name_is_known() -> None:
    error = NotFoundError("gone")
    attach_call(error, "list_sessions", WorkspaceRef("51abe3fa", "Fraud detection"), [])

    assert (error.workspace_key, error.workspace_name) == ("51abe3fa", "Fraud detection")


@pytest.mark.parametrize(("sent", "quoted"), [(["OURS", "OURS-2"], "OURS-2"), ([], None)])
def test_annotate_falls_back_to_the_last_id_that_was_sent(sent: list[str], quoted: str | None) -> None:
    """So a timeout has an id too, if a request was sent."""
    error = RequestTimeoutError("silence")
    attach_call(error, "list_workspaces", None, sent)

    assert (error.opc_request_id, error.request_ids, error.workspace_key) == (quoted, tuple(sent), None)
