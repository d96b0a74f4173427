"""A signer on behalf of a user: its token is sent and signed, read again when its file changes, and never shown."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from aidp_sessions import ConfigError, CredentialsError, DelegationTokenSigner, SessionTokenSigner, SigningRequest
from aidp_sessions.auth.signing import Signer, signed_headers

from ..helpers.credentials import (
    GET,
    POST,
    jwt,
    key,
    pem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOKEN = jwt(exp=4_000_000_000)
WAY_OUT = "open a new Cloud Shell, or get a new delegation token"


@pytest.fixture
def inner() -> Signer:
    return SessionTokenSigner(token=TOKEN, private_key=pem())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "delegation_token"
    write(file, " first\n")
    return file


def write(file: Path, content: str) -> None:
    file.write_text(content)


@pytest.mark.parametrize("request_", [GET, POST])
async def test_the_token_is_signed_after_the_usual_headers(inner: Signer, request_: SigningRequest) -> None:
    signed = await DelegationTokenSigner(inner, token="canary").sign(request_)

    assert signed == signed_headers(request_, key(), f"ST${TOKEN}", {"opc-obo-token": "canary"})


async def test_a_file_that_changes_is_read_again(inner: Signer, file: Path) -> None:
    signer = DelegationTokenSigner(inner, token_file=file)
    sent = [(await signer.sign(GET))["opc-obo-token"]]
    write(file, "second and longer".replace(" ", "-"))
    sent.append((await signer.sign(GET))["opc-obo-token"])

    assert sent == ["first", "second-and-longer"]


async def test_a_401_is_retried_with_another_token_or_a_refreshed_signer(file: Path) -> None:
    answers = iter([False, False, True])

    class Inner(SessionTokenSigner):
        async def refresh(self, rejected: Mapping[str, str]) -> bool:
            return next(answers)

    signer = DelegationTokenSigner(Inner(token=TOKEN, private_key=pem()), token_file=file)
    rejected = await signer.sign(GET)

    worth_it = [await signer.refresh(rejected)]
    write(file, "second")
    worth_it.append(await signer.refresh(rejected))
    worth_it.append(await signer.refresh(await signer.sign(GET)))

    assert worth_it == [False, True, True]


async def test_a_signer_that_does_not_sign_the_token_is_an_error() -> None:
    class Foreign(Signer):
        async def sign(self, request: SigningRequest) -> dict[str, str]:
            return {**dict(request.extra), "authorization": 'Signature headers="date host",keyId="x"'}

        def __repr__(self) -> str:
            return "Foreign()"

    with pytest.raises(CredentialsError) as caught:
        await DelegationTokenSigner(Foreign(), token="canary").sign(GET)

    assert str(caught.value) == ("Foreign() leaves the delegation token unsigned; use a signer of this package inside")


@pytest.mark.parametrize(("content", "problem"), [("", "is empty"), ("a b", "holds white space or other characters ")])
async def test_a_file_without_a_token_is_named(content: str, problem: str, inner: Signer, file: Path) -> None:
    write(file, content)

    with pytest.raises(CredentialsError) as caught:
        await DelegationTokenSigner(inner, token_file=file).sign(GET)

    assert str(caught.value).startswith(f"delegation token file {file} {problem}")
    assert str(caught.value).endswith(WAY_OUT)


async def test_a_missing_file_is_named(inner: Signer) -> None:
    with pytest.raises(ConfigError, match=r"^delegation token file /none does not exist$"):
        await DelegationTokenSigner(inner, token_file="/none").sign(GET)


@pytest.mark.parametrize("token", ["", "a\nb", "a\r\nx-injected: 1", "ü"])
def test_a_token_that_cannot_be_a_header_is_refused_and_not_quoted(token: str, inner: Signer) -> None:
    with pytest.raises(CredentialsError, match=r"^delegation token (is empty|holds white space)"):
        DelegationTokenSigner(inner, token=token)


@pytest.mark.parametrize("arguments", [{}, {"token": "t", "token_file": "f"}])
def test_exactly_one_of_token_and_token_file_is_given(arguments: dict[str, Any], inner: Signer) -> None:
    with pytest.raises(TypeError, match=r"^give either token or token_file$"):
        DelegationTokenSigner(inner, **arguments)


def test_it_is_neither_shown_nor_pickled(inner: Signer) -> None:
    signer = DelegationTokenSigner(inner, token="canary")

    assert (
        repr(signer)
        == "DelegationTokenSigner(SessionTokenSigner(<session token, valid until 2096-10-02 07:06:40 UTC>))"
    )
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="holds a private key and cannot be pickled"):
            attempt(signer)
