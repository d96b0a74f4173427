"""Signers sign as their kind says, read changed files, refresh once, and never show a secret."""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import pickle
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import attrs
import oci
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions.auth.keys import PrivateKey
from aidp_sessions.auth.signing import Signer, signed_headers
from aidp_sessions.errors import AidpError, ConfigError, CredentialsError
from aidp_sessions.principals.api_key import ApiKeySigner
from aidp_sessions.principals.oci_adapter import from_oci_signer
from aidp_sessions.principals.session_token import SessionTokenSigner

from ..helpers.credentials import (
    GET,
    POST,
    TENANCY,
    USER,
    fingerprint,
    jwt,
    key,
    pem,
)
from ..helpers.loop_ticker import loop_ticker
from ..helpers.principals import NOW, HandClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aidp_sessions.auth.signing import SigningRequest

LATER = NOW + 3600
SECRET = "canary-passphrase"
HIDDEN = "(not shown, because it may contain a secret)"
EXPIRED = "expired at 2033-05-18 04:33:20 UTC; run `oci session refresh`, or `oci session authenticate` if that fails"


def api_key_signer(**changes: Any) -> ApiKeySigner:  # passed on as they are
    return ApiKeySigner(
        **{"tenancy": TENANCY, "user": USER, "fingerprint": fingerprint(), "private_key": pem(), **changes}
    )


class TestApiKey:
    async def test_the_key_id_names_tenancy_user_and_fingerprint(self) -> None:
        signed = await api_key_signer().sign(POST)

        assert signed == signed_headers(POST, key(), f"{TENANCY}/{USER}/{fingerprint()}")

    @pytest.mark.parametrize("form", ["text", "bytes", "str path", "Path", "home", "loaded"])
    async def test_the_key_may_be_text_bytes_a_path_or_loaded(
        self, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        path = tmp_path / "key.pem"
        path.write_text(pem())
        forms = {
            "text": pem(),
            "bytes": pem().encode(),
            "str path": str(path),
            "Path": path,
            "home": "~/key.pem",
            "loaded": key(),
        }

        signer = api_key_signer(private_key=forms[form])

        assert await signer.sign(GET) == await api_key_signer().sign(GET)

    async def test_it_cannot_be_refreshed(self) -> None:
        signer = api_key_signer()

        assert await signer.refresh(await signer.sign(GET)) is False

    def test_a_fingerprint_of_another_key_is_refused_with_both_named(self) -> None:
        with pytest.raises(CredentialsError) as caught:
            api_key_signer(fingerprint=fingerprint(1))

        assert str(caught.value) == (
            f"fingerprint {fingerprint(1)} does not belong to the private key, "
            f"whose fingerprint is {fingerprint()}; correct the fingerprint, or use the other key (key_file)"
        )

    @pytest.mark.parametrize("name", ["tenancy", "user"])
    @pytest.mark.parametrize(
        "value", ["", "acme", "ocid1.user.oc1.aaa", f"{USER}\n", 'ocid1.user.oc1..a"b', "ocid1.x.y..ü"]
    )
    def test_a_malformed_ocid_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(ValueError) as caught:
            api_key_signer(**{name: value})

        quoted = HIDDEN if '"' in value else repr(value)
        assert str(caught.value) == f"{name} {quoted} is not valid; it must be an OCID such as 'ocid1.{name}.oc1..…'"

    def test_an_ocid_of_the_older_form_is_accepted(self) -> None:
        user = "ocidv1:user:oc1:phx:1460406592659:aaaa"

        assert api_key_signer(user=user).user == user

    @pytest.mark.parametrize("value", ["", "20:3b", "AB:" * 15 + "AB", "ab:" * 16 + "ab", " " + "ab:" * 15 + "ab"])
    def test_a_malformed_fingerprint_is_refused(self, value: str) -> None:
        with pytest.raises(ValueError) as caught:
            api_key_signer(fingerprint=value)

        assert str(caught.value) == (
            f"fingerprint {value!r} is not valid; it must be 16 pairs of lower-case hex digits joined by colons"
        )

    @pytest.mark.parametrize("name", ["tenancy", "user", "fingerprint", "private_key"])
    def test_a_wrong_type_is_a_type_error_that_names_the_argument(self, name: str) -> None:
        with pytest.raises(TypeError, match=rf"^{name} must be .*, not int$"):
            api_key_signer(**{name: 5})

    def test_a_missing_key_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "none.pem"

        with pytest.raises(ConfigError) as caught:
            api_key_signer(private_key=path)

        assert str(caught.value) == f"private key file {path} does not exist"

    @pytest.mark.parametrize(
        ("content", "reason"), [(b"\x30\x82\xff", "is not a text file"), (None, "cannot be read: Is a directory")]
    )
    def test_an_unreadable_key_file_is_named(self, content: bytes | None, reason: str, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.mkdir() if content is None else path.write_bytes(content)

        with pytest.raises(ConfigError) as caught:
            api_key_signer(private_key=str(path))

        assert str(caught.value) == f"private key file {path} {reason}"

    def test_a_key_file_with_another_kind_of_content_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        path.write_text("hunter2")

        with pytest.raises(CredentialsError) as caught:
            api_key_signer(private_key=path)

        assert str(caught.value) == (
            f"private key file {path} is not a PEM private key; the RSA private key itself is needed, in PEM form"
        )

    @pytest.mark.parametrize(
        "change", [lambda body: body, lambda body: body.replace("\n", "")], ids=["lines", "one line"]
    )
    def test_a_key_without_its_first_line_is_not_taken_for_a_path(self, change: Callable[[str], str]) -> None:
        body = change("\n".join(pem().splitlines()[1:-1]))

        with pytest.raises(CredentialsError) as caught:
            api_key_signer(private_key=body)

        assert body[:20] not in str(caught.value)


@attrs.define
class SessionFiles:
    """The files that ``oci session authenticate`` writes."""

    folder: Path

    @property
    def token(self) -> Path:
        return self.folder / "token"

    @property
    def key(self) -> Path:
        return self.folder / "oci_api_key.pem"

    def write(self, token: str | None = None, key_number: int | None = None) -> None:
        for path, content in ((self.token, token), (self.key, None if key_number is None else pem(key_number))):
            if content is not None:
                before = path.stat().st_mtime_ns if path.exists() else 0
                path.write_text(content)
                os.utime(path, ns=(before + 1, before + 1))


@pytest.fixture
def files(tmp_path: Path) -> SessionFiles:
    files = SessionFiles(tmp_path)
    files.write(jwt(exp=LATER, tenant=TENANCY, n=1), 0)
    return files


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def session(files: SessionFiles, clock: HandClock) -> SessionTokenSigner:
    return SessionTokenSigner(token_file=files.token, private_key=files.key, clock=clock.clock)


class TestSessionToken:
    async def test_the_key_id_is_the_token(self, session: SessionTokenSigner) -> None:
        token = jwt(exp=LATER, tenant=TENANCY, n=1)

        assert await session.sign(POST) == signed_headers(POST, key(), f"ST${token}")

    def test_it_knows_its_tenancy_and_when_it_ends(self, session: SessionTokenSigner) -> None:
        assert (session.tenancy, session.expires_at) == (TENANCY, datetime(2033, 5, 18, 4, 33, 20, tzinfo=UTC))

    def test_a_token_without_a_tenancy_is_accepted(self) -> None:
        assert SessionTokenSigner(token=jwt(exp=LATER), private_key=pem()).tenancy is None

    async def test_white_space_around_the_token_is_dropped(self, files: SessionFiles, clock: HandClock) -> None:
        files.write(f"  {jwt(exp=LATER)}\r\n")

        signer = SessionTokenSigner(token_file=files.token, private_key=pem(), clock=clock.clock)

        assert await signer.sign(GET) == signed_headers(GET, key(), f"ST${jwt(exp=LATER)}")

    async def test_a_token_file_that_changes_is_read_again(
        self, session: SessionTokenSigner, files: SessionFiles
    ) -> None:
        files.write(jwt(exp=LATER + 1, n=2))

        signed = await session.sign(GET)

        assert signed == signed_headers(GET, key(), f"ST${jwt(exp=LATER + 1, n=2)}")
        assert session.expires_at == datetime(2033, 5, 18, 4, 33, 21, tzinfo=UTC)

    async def test_a_key_that_is_replaced_along_with_the_token_is_read_again(
        self, session: SessionTokenSigner, files: SessionFiles
    ) -> None:
        files.write(jwt(exp=LATER, n=2), key_number=1)

        assert await session.sign(GET) == signed_headers(GET, key(1), f"ST${jwt(exp=LATER, n=2)}")

    async def test_a_file_that_does_not_change_is_not_read_again(
        self, session: SessionTokenSigner, files: SessionFiles
    ) -> None:
        before = files.token.stat()
        files.token.write_text(jwt(exp=LATER, tenant=TENANCY, n=9))
        os.utime(files.token, ns=(before.st_mtime_ns, before.st_mtime_ns))

        assert await session.sign(GET) == signed_headers(GET, key(), f"ST${jwt(exp=LATER, tenant=TENANCY, n=1)}")

    @pytest.mark.parametrize("content", ["", "half a tok"])
    async def test_while_a_file_is_incomplete_the_last_valid_token_is_used(
        self, content: str, session: SessionTokenSigner, files: SessionFiles, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = await session.sign(GET)
        files.write(content)

        during = [await session.sign(GET), await session.sign(GET)]
        files.write(jwt(exp=LATER, n=2), key_number=1)
        after = await session.sign(GET)

        assert during == [before, before]
        assert after == signed_headers(GET, key(1), f"ST${jwt(exp=LATER, n=2)}")
        assert [record.name for record in caplog.records] == ["aidp_sessions"]

    async def test_a_key_that_could_not_be_read_at_first_is_read_later(
        self, session: SessionTokenSigner, files: SessionFiles
    ) -> None:
        files.key.write_text("")
        await session.sign(GET)
        files.write(jwt(exp=LATER, n=2), key_number=1)

        assert await session.sign(GET) == signed_headers(GET, key(1), f"ST${jwt(exp=LATER, n=2)}")

    async def test_an_expired_token_is_refused_before_anything_is_sent(
        self, session: SessionTokenSigner, files: SessionFiles, clock: HandClock
    ) -> None:
        clock.now = LATER
        await session.sign(GET)
        clock.now = LATER + 0.001

        with pytest.raises(CredentialsError) as caught:
            await session.sign(GET)

        assert str(caught.value) == f"session token file {files.token} {EXPIRED}"

    async def test_a_token_that_is_replaced_after_it_expired_is_read(
        self, session: SessionTokenSigner, files: SessionFiles, clock: HandClock
    ) -> None:
        clock.now = LATER + 1
        files.write(jwt(exp=LATER + 10))

        assert await session.sign(GET) == signed_headers(GET, key(), f"ST${jwt(exp=LATER + 10)}")

    async def test_the_error_about_an_expired_token_says_why_there_is_no_newer_one(
        self, session: SessionTokenSigner, files: SessionFiles, clock: HandClock
    ) -> None:
        files.token.unlink()
        await session.sign(GET)
        clock.now = LATER + 1

        with pytest.raises(ConfigError) as caught:
            await session.sign(GET)

        assert str(caught.value) == f"session token file {files.token} does not exist"

    async def test_a_fixed_token_expires_too(self) -> None:
        signer = SessionTokenSigner(token=jwt(exp=LATER), private_key=pem(), clock=HandClock(LATER + 1).clock)

        with pytest.raises(CredentialsError) as caught:
            await signer.sign(GET)

        assert str(caught.value) == f"session token {EXPIRED}"

    async def test_a_401_is_retried_only_with_another_token(
        self, session: SessionTokenSigner, files: SessionFiles
    ) -> None:
        rejected = await session.sign(GET)

        answers = [await session.refresh(rejected)]
        files.write(jwt(exp=LATER, n=2))
        answers += [await session.refresh(rejected), await session.refresh(rejected)]
        answers += [await session.refresh(await session.sign(GET))]

        assert answers == [False, True, True, False]

    async def test_after_a_401_the_file_is_read_even_if_it_looks_unchanged(
        self, session: SessionTokenSigner, files: SessionFiles
    ) -> None:
        rejected, before = await session.sign(GET), files.token.stat()
        files.token.write_text(jwt(exp=LATER, tenant=TENANCY, n=9))
        os.utime(files.token, ns=(before.st_mtime_ns, before.st_mtime_ns))

        assert await session.refresh(rejected) is True

    async def test_a_401_with_a_fixed_token_is_final(self) -> None:
        signer = SessionTokenSigner(token=jwt(exp=LATER), private_key=pem(), clock=HandClock().clock)

        assert await signer.refresh({}) is False

    @pytest.mark.parametrize("arguments", [{}, {"token": "t", "token_file": "f"}])
    def test_exactly_one_of_token_and_token_file_is_given(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=r"^give either token or token_file$"):
            SessionTokenSigner(**arguments, private_key=pem())

    @pytest.mark.parametrize(
        ("token", "problem"),
        [
            ("", "is empty"),
            ("not-a-jwt", "is not a JWT"),
            (f"{jwt(exp=1)}\nx", "is not a JWT"),
            ("e30.bm90IGpzb24.c2ln", "is a damaged JWT, its claims cannot be read"),
            ("e30.W10.c2ln", "is a damaged JWT, its claims cannot be read"),
            ("e30._w.c2ln", "is a damaged JWT, its claims cannot be read"),
            (jwt(), "has no usable 'exp', the time at which it expires"),
            (jwt(exp=None), "has no usable 'exp', the time at which it expires"),
            (jwt(exp=float("nan")), "has no usable 'exp', the time at which it expires"),
            (jwt(exp=1e300), "has no usable 'exp', the time at which it expires"),
        ],
    )
    def test_an_unusable_token_is_named_for_what_it_is(self, token: str, problem: str, files: SessionFiles) -> None:
        files.write(token)

        with pytest.raises(CredentialsError) as caught:
            SessionTokenSigner(token_file=files.token, private_key=files.key)

        assert str(caught.value) == (
            f"session token file {files.token} {problem}; "
            "run `oci session refresh`, or `oci session authenticate` if that fails"
        )

    @given(text=st.text())
    def test_no_text_breaks_the_parser(self, text: str) -> None:
        with pytest.raises(CredentialsError):
            SessionTokenSigner(token=text, private_key=key())


class Principal:
    """Behaves like a principal of `oci`: it gets a new token on request, and its `api_key` is known only later."""

    def __init__(self) -> None:
        self.renewals = 0
        self.at_once = 0
        self.most_at_once = 0
        self.threads: set[int] = set()
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()

    def refresh_security_token(self) -> None:
        with self:
            self.renewals += 1

    def __call__(self, request: object) -> object:
        with self:
            assert self.let_go.wait(timeout=30)
            token_signer = oci.auth.signers.SecurityTokenSigner(f"token-{self.renewals}", rsa_private_key())
            return cast("object", token_signer(request))

    def __enter__(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.threads.add(threading.get_ident())
        self.entered.set()

    def __exit__(self, *_: object) -> None:
        self.at_once -= 1


@functools.cache
def rsa_private_key() -> object:
    return oci.signer.load_private_key(pem(), None)


def official_api_key() -> oci.signer.Signer:
    return oci.signer.Signer(TENANCY, USER, fingerprint(), None, private_key_content=pem())


class TestOciAdapter:
    @pytest.mark.parametrize("request_", [GET, POST, attrs.evolve(POST, body=b""), attrs.evolve(GET, host="[::1]:80")])
    async def test_the_signature_is_the_one_of_our_own_signer(self, request_: SigningRequest) -> None:
        adapted = await from_oci_signer(official_api_key()).sign(request_)
        ours = await api_key_signer().sign(request_)

        assert {name: adapted[name] for name in ours} == ours

    async def test_a_signer_that_only_holds_a_key_is_called_in_place(self) -> None:
        threads = []

        class Noted(oci.signer.Signer):  # type: ignore[misc]  # the package ships no types
            def do_request_sign(self, request: object, enforce_content_headers: bool = True) -> object:
                threads.append(threading.get_ident())
                return cast("object", super().do_request_sign(request, enforce_content_headers))

        await from_oci_signer(Noted(TENANCY, USER, fingerprint(), None, private_key_content=pem())).sign(GET)

        assert threads == [threading.get_ident()]

    async def test_a_resource_principal_rereads_its_files_after_a_refusal(self, files: SessionFiles) -> None:
        signer = from_oci_signer(
            oci.auth.signers.EphemeralResourcePrincipalSigner(str(files.token), str(files.key), region="iad")
        )
        rejected = await signer.sign(GET)
        files.write(jwt(exp=LATER, n=2))

        renewed = await signer.refresh(rejected)

        assert renewed is True
        assert (await signer.sign(GET))["authorization"] == signed_headers(GET, key(), f"ST${jwt(exp=LATER, n=2)}")[
            "authorization"
        ]

    async def test_a_delegation_token_is_sent_and_signed(self, files: SessionFiles) -> None:
        official = oci.auth.signers.EphemeralResourcePrincipalsDelegationTokenSigner(
            delegation_token="delegated", session_token=str(files.token), private_key=str(files.key)
        )

        signed = await from_oci_signer(official).sign(GET)

        token = jwt(exp=LATER, tenant=TENANCY, n=1)
        ours = signed_headers(GET, key(), f"ST${token}", {"opc-obo-token": "delegated"})
        assert {name: signed[name] for name in ours} == ours

    async def test_a_signer_that_may_block_runs_one_call_at_a_time_off_the_loop(self) -> None:
        principal = Principal()
        signer = from_oci_signer(principal)

        await asyncio.gather(*(signer.sign(GET) for _ in range(50)))

        assert (principal.most_at_once, threading.get_ident() in principal.threads) == (1, False)

    async def test_no_second_call_starts_until_the_call_of_a_cancelled_caller_ends(self) -> None:
        principal = Principal()
        principal.let_go.clear()
        signer = from_oci_signer(principal)
        first = asyncio.create_task(signer.sign(GET))
        await asyncio.to_thread(principal.entered.wait, 30)
        first.cancel()
        second = asyncio.create_task(signer.sign(GET))
        with pytest.raises(asyncio.CancelledError):
            await first
        principal.let_go.set()

        await second

        assert principal.most_at_once == 1

    async def test_many_refusals_of_one_token_fetch_one_new_token(self) -> None:
        principal = Principal()
        signer = from_oci_signer(principal)
        rejected = await asyncio.gather(*(signer.sign(GET) for _ in range(20)))

        answers = await asyncio.gather(*(signer.refresh(headers) for headers in rejected))
        late = await signer.sign(GET)
        answers += [await signer.refresh(rejected[0])]

        assert (set(answers), principal.renewals) == ({True}, 1)
        assert 'keyId="ST$token-1"' in late["authorization"]

    async def test_a_new_token_that_is_refused_is_refreshed_again(self) -> None:
        principal = Principal()
        signer = from_oci_signer(principal)

        for _ in range(3):
            await signer.refresh(await signer.sign(GET))

        assert principal.renewals == 3

    async def test_a_signer_without_a_method_to_refresh_is_not_refreshed(self) -> None:
        signer = from_oci_signer(official_api_key())

        assert await signer.refresh(await signer.sign(GET)) is False

    @pytest.mark.parametrize("attempt", ["sign", "refresh"])
    async def test_what_the_package_raises_becomes_a_credentials_error_with_its_cause(self, attempt: str) -> None:
        cause = oci.exceptions.ServiceError(500, "code", {}, "message")

        class Broken(Principal):
            def refresh_security_token(self) -> None:
                raise cause

            def __call__(self, _request: object) -> object:
                raise cause

        signer = from_oci_signer(Broken())
        with pytest.raises(CredentialsError) as caught:
            await (signer.sign(GET) if attempt == "sign" else signer.refresh({}))

        assert str(caught.value) == "from_oci_signer(<Broken>) failed with ServiceError, see its cause"
        assert caught.value.__cause__ is cause

    async def test_an_error_of_a_signer_that_runs_on_the_loop_becomes_a_credentials_error(self) -> None:
        class Broken(oci.signer.Signer):  # type: ignore[misc]  # the package ships no types
            def do_request_sign(self, request: object, enforce_content_headers: bool = True) -> object:
                raise UnicodeError(SECRET)

        signer = from_oci_signer(Broken(TENANCY, USER, fingerprint(), None, private_key_content=pem()))
        with pytest.raises(CredentialsError) as caught:
            await signer.sign(GET)

        assert str(caught.value) == "from_oci_signer(<Broken>) failed with UnicodeError, see its cause"

    def test_one_adapter_serves_several_event_loops(self) -> None:
        principal = Principal()
        signer = from_oci_signer(principal)

        assert asyncio.run(signer.sign(GET)) == asyncio.run(signer.sign(GET))

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (None, "'NoneType' object"),
            ({"user": "x"}, "'dict' object"),
            (oci.signer.Signer, "the class Signer"),
            (api_key_signer(), "'ApiKeySigner' object"),
        ],
    )
    def test_what_is_not_a_signer_is_named(self, value: object, what: str) -> None:
        with pytest.raises(TypeError) as caught:
            from_oci_signer(value)

        assert str(caught.value) == (
            f"not a signer of the oci package: {what}; pass an instance, such as oci.signer.Signer(…)"
        )

    async def test_a_callable_that_does_not_sign_is_an_error(self) -> None:
        with pytest.raises(CredentialsError, match=r"^from_oci_signer\(<function>\) left the request unsigned"):
            await from_oci_signer(lambda request: request).sign(GET)


def private_lines() -> list[str]:
    return pem().splitlines()[1:-1]


@pytest.fixture
def signers(files: SessionFiles) -> list[Signer]:
    locked = pem(0, SECRET)
    token = jwt(exp=LATER, canary="token")
    return [
        api_key_signer(private_key=locked, pass_phrase=SECRET),
        SessionTokenSigner(token=token, private_key=locked, pass_phrase=SECRET),
        SessionTokenSigner(token_file=files.token, private_key=files.key),
        from_oci_signer(official_api_key()),
        from_oci_signer(Principal()),
    ]


def test_no_signer_shows_a_secret(signers: list[Signer]) -> None:
    shown = "\n".join(f"{signer!r} {signer}" for signer in signers)

    secrets = [
        SECRET,
        jwt(exp=LATER, canary="token").split(".")[1],
        *private_lines(),
        *pem(0, SECRET).splitlines()[1:-1],
    ]
    assert [secret for secret in secrets if secret in shown] == []


def test_no_signer_is_pickled_or_copied(signers: list[Signer]) -> None:
    for signer in signers:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="holds a private key and cannot be pickled"):
                attempt(signer)


def test_no_error_of_a_signer_shows_a_secret(files: SessionFiles) -> None:
    files.token.write_text("canary-token")
    attempts: list[Callable[[], object]] = [
        lambda: api_key_signer(private_key=pem(0, SECRET), pass_phrase=f"{SECRET}-wrong"),
        lambda: api_key_signer(private_key=pem().replace("PRIVATE", "SECRET")),
        lambda: api_key_signer(private_key="\n".join(private_lines()), pass_phrase=SECRET),
        lambda: api_key_signer(fingerprint=fingerprint(1), pass_phrase=SECRET),
        lambda: SessionTokenSigner(token="canary-token", private_key=pem()),
        lambda: SessionTokenSigner(token_file=files.token, private_key=files.key),
        lambda: SessionTokenSigner(token=jwt(canary="canary-token"), private_key=pem()),
    ]
    for attempt in attempts:
        with pytest.raises(AidpError) as caught:
            attempt()
        shown = f"{caught.value!r} {caught.value} {pickle.dumps(caught.value)!r}"
        secrets = [SECRET, "canary-token", jwt(canary="canary-token"), *private_lines()]
        assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize("kind", ["API key", "token"])
async def test_the_loop_runs_while_a_long_key_signs(kind: str) -> None:
    """A signature with a short key is made on the loop."""

    def signer_with(private_key: PrivateKey) -> tuple[Signer, str]:
        if kind == "token":
            token = jwt(exp=LATER)
            return SessionTokenSigner(token=token, private_key=private_key), f"ST${token}"
        digest = private_key.fingerprint
        return api_key_signer(fingerprint=digest, private_key=private_key), f"{TENANCY}/{USER}/{digest}"

    long_key = PrivateKey.generate(3072)
    (short_signer, short_id), (long_signer, long_id) = signer_with(key()), signer_with(long_key)
    async with loop_ticker() as ticker:
        short = await short_signer.sign(GET)
        turns_of_the_short, long = ticker.now, await long_signer.sign(GET)

    assert turns_of_the_short == 0
    assert ticker.now > 0
    assert short == signed_headers(GET, key(), short_id)
    assert long == signed_headers(GET, long_key, long_id)
