"""Key and token files: read as often as they can be, replaced as a whole, and named in errors without a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aidp_sessions import ApiKeySigner, ConfigError, DelegationTokenSigner, ResourcePrincipalSigner, SessionTokenSigner
from aidp_sessions.auth.files import TextFile, read_key

from ..helpers.credentials import GET, TENANCY, USER, fingerprint, jwt, key, pem, pipe
from ..helpers.exception_chains import exception_chain
from ..helpers.principals import token_in

FOREVER = 4_000_000_000

pytestmark = pytest.mark.skipif(not Path("/dev/fd").exists(), reason="for systems that name open files")


class TestPipes:
    def test_the_text_is_kept_and_the_version_stays(self) -> None:
        with pipe("text") as path:
            file = TextFile(path, "file")

            assert [file.version, file.read(), file.version, file.read()] == [None, "text", None, "text"]

    def test_a_regular_file_is_read_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        file = TextFile(path, "file")
        before = file.version, file.read()
        path.write_text("newer")

        assert before[1] == "old"
        assert file.read() == "newer"
        assert file.version != before[0]

    def test_a_pipe_is_not_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "fifo"
        os.mkfifo(path)

        with pytest.raises(ConfigError) as caught:
            TextFile(path, "token file").replace("new")

        assert str(caught.value) == f"token file {path} cannot be written: it is not a regular file"
        assert path.is_fifo()

    async def test_an_api_key_may_come_from_one(self) -> None:
        with pipe(pem()) as path:
            signer = ApiKeySigner(tenancy=TENANCY, user=USER, fingerprint=fingerprint(), private_key=path)

        assert "authorization" in await signer.sign(GET)

    async def test_a_session_may_come_from_two(self) -> None:
        token = jwt(exp=FOREVER)
        with pipe(token) as token_file, pipe(pem()) as private_key:
            signer = SessionTokenSigner(token_file=token_file, private_key=private_key)
            signed = await signer.sign(GET)

            assert token_in(signed) == token
            assert await signer.refresh(signed) is False
            assert token_in(await signer.sign(GET)) == token

    async def test_a_delegation_token_may_come_from_one(self) -> None:
        inner = ApiKeySigner(tenancy=TENANCY, user=USER, fingerprint=fingerprint(), private_key=key())
        with pipe("delegated") as path:
            signer = DelegationTokenSigner(inner, token_file=path)
            signed = await signer.sign(GET)

            assert signed["opc-obo-token"] == "delegated"
            assert await signer.refresh(signed) is False
            assert (await signer.sign(GET))["opc-obo-token"] == "delegated"

    async def test_a_resource_principal_may_come_from_two(self) -> None:
        token = jwt(exp=FOREVER)
        with pipe(token) as session_token, pipe(pem()) as private_key:
            signer = ResourcePrincipalSigner(session_token=session_token, private_key=private_key, environ={})
            signed = await signer.sign(GET)
            await signer.refresh(signed)

            assert token_in(await signer.sign(GET)) == token_in(signed) == token


class TestErrors:
    def test_a_byte_order_mark_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"\xef\xbb\xbftext")

        assert TextFile(tmp_path / "file", "file").read() == "text"

    @pytest.mark.parametrize("path", ["/none/key.pem", "~/none/a key.pem", Path("none/key.pem"), Path("/none/ü")])
    def test_a_path_is_named(self, path: str | Path) -> None:
        with pytest.raises(ConfigError) as caught:
            read_key(path, None)

        assert str(caught.value) == f"private key file {path} does not exist"

    @pytest.mark.parametrize(
        "value",
        [
            "canary",
            "keys/canary.pem",
            "/none/key.pempass_phrase=canary",
            "/none/key.pem pass_phrase = canary",
            "/none/key.pempass_phrase: canary",
            "~/key.pem\tcanary",
            f"/none/{jwt(canary='canary')}",
            f"{jwt(canary='canary')}",
            Path("/none/key.pempass_phrase=canary"),
        ],
    )
    def test_what_may_be_a_secret_is_left_out(self, value: str | Path) -> None:
        with pytest.raises(ConfigError) as caught:
            read_key(value, None)

        assert str(caught.value) == "private key file does not exist"
        assert [link for link in exception_chain(caught.value) if "canary" in f"{link}{link!r}"] == []

    def test_bytes_that_are_no_text_are_not_kept_in_the_error(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        path.write_bytes(b"canary\xff")

        with pytest.raises(ConfigError) as caught:
            read_key(path, None)

        assert str(caught.value) == f"private key file {path} is not a text file"
        assert len(exception_chain(caught.value)) == 1
