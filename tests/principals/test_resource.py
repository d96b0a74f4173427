"""A resource's signer: values and files, files that OCI replaces, and each variable that may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from aidp_sessions import AidpError, ConfigError, CredentialsError, ResourcePrincipalSigner
from aidp_sessions.auth.signing import signed_headers

from ..helpers.credentials import (
    GET,
    TENANCY,
    jwt,
    key,
    pem,
)
from ..helpers.principals import NOW, HandClock, settled, token_in

if TYPE_CHECKING:
    from pathlib import Path

LATER = NOW + 3600
PREFIX = "OCI_RESOURCE_PRINCIPAL_"
RPST = f"session token ({PREFIX}RPST)"
KEY = f"private key ({PREFIX}PRIVATE_PEM)"
ONLY_THERE = "OCI sets it where resource principals exist, such as in functions and jobs"
WAY_OUT = "OCI replaces it while the resource runs; if it does not, restart the resource"
SECRET = "canary-passphrase"


@attrs.frozen
class Resource:
    """The folder into which OCI puts a resource's token and key."""

    folder: Path
    clock: HandClock

    def write(self, token: str | None = None, key_pem: str | None = None) -> None:
        for name, content in (("rpst", token), ("key", key_pem)):
            if content is not None:
                (self.folder / name).write_text(content)

    def signer(self, **changes: str | None) -> ResourcePrincipalSigner:
        values = {
            "VERSION": "2.2",
            "RPST": str(self.folder / "rpst"),
            "PRIVATE_PEM": str(self.folder / "key"),
            **changes,
        }
        environ = {f"{PREFIX}{name}": value for name, value in values.items() if value is not None}
        return ResourcePrincipalSigner(environ=environ, clock=self.clock.clock)

    async def message(self, **changes: str | None) -> str:
        signer = self.signer(**changes)
        with pytest.raises(AidpError) as caught:
            await signer.sign(GET)
        assert type(caught.value) in (ConfigError, CredentialsError)
        return str(caught.value)


@pytest.fixture
def resource(tmp_path: Path) -> Resource:
    resource = Resource(tmp_path, HandClock())
    resource.write(jwt(exp=LATER, res_tenant=TENANCY, n=1), pem())
    return resource


async def test_values_and_files_may_be_mixed(resource: Resource) -> None:
    token = jwt(exp=LATER, n=2)

    assert await resource.signer(RPST=token).sign(GET) == signed_headers(GET, key(), f"ST${token}")


@pytest.mark.parametrize("where", ["value", "file"])
async def test_a_passphrase_may_be_a_value_or_a_file_whatever_the_key_is(where: str, resource: Resource) -> None:
    resource.write(key_pem=pem(0, SECRET))
    phrase = resource.folder / "phrase"
    phrase.write_text(f"{SECRET}\n")

    signed = await resource.signer(PRIVATE_PEM_PASSPHRASE=SECRET if where == "value" else str(phrase)).sign(GET)

    assert "authorization" in signed


async def test_files_are_read_again_before_the_token_expires_and_the_old_token_is_used_until_then(
    resource: Resource,
) -> None:
    signer = resource.signer()
    old = await signer.sign(GET)
    resource.write(jwt(exp=LATER + 3600, n=2), pem(1))
    assert await signer.sign(GET) == old
    resource.clock.now = LATER - 300

    assert await signer.sign(GET) == old
    await settled()

    assert await signer.sign(GET) == signed_headers(GET, key(1), f"ST${jwt(exp=LATER + 3600, n=2)}")


async def test_a_file_that_was_not_replaced_yet_is_read_every_ten_seconds(resource: Resource) -> None:
    signer = resource.signer()
    await signer.sign(GET)
    resource.clock.now = LATER - 300
    await signer.sign(GET)
    await settled()
    resource.write(jwt(exp=LATER + 3600, n=2))
    tokens = []
    for _ in range(2):
        resource.clock.now += 5
        await signer.sign(GET)
        await settled()
        tokens.append(token_in(await signer.sign(GET)))

    assert tokens == [jwt(exp=LATER, res_tenant=TENANCY, n=1), jwt(exp=LATER + 3600, n=2)]


async def test_the_file_of_an_expired_token_is_read_again_before_the_call_fails(resource: Resource) -> None:
    signer = resource.signer()
    await signer.sign(GET)
    resource.clock.now = LATER + 1

    with pytest.raises(CredentialsError) as caught:
        await signer.sign(GET)
    resource.clock.now += 10
    resource.write(jwt(exp=LATER + 3600))

    assert str(caught.value) == (
        f"{RPST} file {resource.folder / 'rpst'} expired at 2033-05-18 04:33:20 UTC; {WAY_OUT}"
    )
    assert token_in(await signer.sign(GET)) == jwt(exp=LATER + 3600)


async def test_a_401_is_retried_if_token_or_key_was_replaced(resource: Resource) -> None:
    signer = resource.signer()
    answers = []
    for token, private in ((None, None), (None, pem(1)), (jwt(exp=LATER, n=3), None), (None, None)):
        rejected = await signer.sign(GET)
        resource.write(token, private)
        answers.append(await signer.refresh(rejected))

    assert answers == [False, True, True, False]


async def test_an_expired_token_that_was_given_as_a_value_is_final(resource: Resource) -> None:
    signer = resource.signer(RPST=jwt(exp=LATER))
    await signer.sign(GET)
    resource.clock.now = LATER + 1

    with pytest.raises(CredentialsError) as caught:
        await signer.sign(GET)

    assert str(caught.value) == f"{RPST} expired at 2033-05-18 04:33:20 UTC; {WAY_OUT}"


@pytest.mark.parametrize("name", ["VERSION", "RPST", "PRIVATE_PEM"])
@pytest.mark.parametrize("value", [None, " "])
def test_a_variable_that_is_not_set_is_named(name: str, value: str | None, resource: Resource) -> None:
    with pytest.raises(ConfigError) as caught:
        resource.signer(**{name: value})

    assert str(caught.value) == f"{PREFIX}{name} is not set; {ONLY_THERE}"


@pytest.mark.parametrize(
    ("version", "what"), [("1.1", "supported"), ("2.1", "supported"), ("2.1.1", "supported"), ("9", "known")]
)
def test_another_version_is_named_with_the_remedy(version: str, what: str, resource: Resource) -> None:
    with pytest.raises(ConfigError) as caught:
        resource.signer(VERSION=version)

    assert str(caught.value) == (
        f"{PREFIX}VERSION is {version!r}, which is not {what} here, only 2.2 is; create that signer with the oci "
        "package: from_oci_signer(oci.auth.signers.get_resource_principals_signer())"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RPST": "/none/rpst"}, f"{RPST} file /none/rpst does not exist"),
        ({"RPST": "canary"}, f"{RPST} is not a JWT; {WAY_OUT}"),
        ({"RPST": jwt(sub="x")}, f"{RPST} has no usable 'exp', the time at which it expires; {WAY_OUT}"),
        ({"PRIVATE_PEM": "/none/key"}, f"{KEY} file /none/key does not exist"),
        (
            {"PRIVATE_PEM": "canary"},
            f"{KEY} is not a PEM private key; the RSA private key itself is needed, in PEM form",
        ),
        (
            {"PRIVATE_PEM": pem(0, SECRET)},
            f"{KEY} is encrypted and no passphrase was given; set pass_phrase",
        ),
        (
            {"PRIVATE_PEM": pem(0, SECRET), "PRIVATE_PEM_PASSPHRASE": "canary"},
            f"{KEY} cannot be read: the passphrase is wrong, or the key is damaged",
        ),
        (
            {"PRIVATE_PEM": pem(0, SECRET), "PRIVATE_PEM_PASSPHRASE": "/none/phrase"},
            f"passphrase ({PREFIX}PRIVATE_PEM_PASSPHRASE) file does not exist",
        ),
    ],
)
async def test_an_unusable_value_is_named_and_not_quoted(
    changes: dict[str, Any], message: str, resource: Resource
) -> None:
    assert await resource.message(**changes) == message


async def test_an_empty_file_is_named(resource: Resource) -> None:
    resource.write(token=" \n")

    assert await resource.message() == f"{RPST} file {resource.folder / 'rpst'} is empty; {WAY_OUT}"


def test_an_impossible_region_is_named(resource: Resource) -> None:
    with pytest.raises(ConfigError, match=rf"^{PREFIX}REGION: region 'a b' is not a region name"):
        resource.signer(REGION="a b")


def test_nothing_is_read_before_the_first_signature(resource: Resource) -> None:
    signer = resource.signer(RPST="/none", PRIVATE_PEM="/none")

    assert (signer.region, signer.tenancy, signer.expires_at) == (None, None, None)


async def test_no_secret_is_shown(resource: Resource) -> None:
    signer = resource.signer(RPST=jwt(exp=LATER, canary=1), PRIVATE_PEM_PASSPHRASE=SECRET)
    await signer.sign(GET)

    assert repr(signer) == "ResourcePrincipalSigner(<valid until 2033-05-18 04:33:20 UTC>)"
