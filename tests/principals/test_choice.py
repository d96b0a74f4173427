"""The settings select the same principal as in the OCI tools; without one, the error says what was tried."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from aidp_sessions import (
    ApiKeySigner,
    ConfigError,
    DelegationTokenSigner,
    InstancePrincipalSigner,
    OkeWorkloadIdentitySigner,
    ResourcePrincipalSigner,
    SessionsClient,
    SessionTokenSigner,
)
from aidp_sessions.principals.settings import Settings, load_settings

from ..helpers.credentials import (
    TENANCY,
    USER,
    fingerprint,
    jwt,
    pem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLATFORM = "ocid1.aidataplatform.oc1.iad.aaaa"
REGIONLESS = "ocid1.aidataplatform.oc1..aaaa"
RESOURCE = {
    "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
    "OCI_RESOURCE_PRINCIPAL_RPST": jwt(exp=4_000_000_000),
    "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": pem(),
    "OCI_RESOURCE_PRINCIPAL_REGION": "phx",
}
OKE = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "OCI_RESOURCE_PRINCIPAL_REGION": "phx"}


@attrs.frozen
class Home:
    """A home folder with a key, a session's token, a delegation token and the profiles of a test."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / ".oci" / "config"

    def profiles(self, **profiles: Mapping[str, object]) -> None:
        lines = []
        for name, values in profiles.items():
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text("\n".join(lines))

    def file(self, name: str, content: str) -> Path:
        path = self.path / name
        path.write_text(content)
        path.chmod(0o600)
        return path

    @property
    def api(self) -> dict[str, object]:
        return {"tenancy": TENANCY, "user": USER, "fingerprint": fingerprint(), "key_file": self.file("k.pem", pem())}

    @property
    def session(self) -> dict[str, object]:
        token = self.file("token", jwt(exp=4_000_000_000))
        return {"tenancy": TENANCY, "key_file": self.file("k.pem", pem()), "security_token_file": token}

    @property
    def delegation(self) -> dict[str, object]:
        return {"tenancy": TENANCY, "delegation_token_file": self.file("obo", "delegated")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Home:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in os.environ:
        if name.startswith(("OCI_", "AIDP_", "KUBERNETES_")):
            monkeypatch.delenv(name)
    caplog.set_level("INFO", "aidp_sessions")
    return Home(tmp_path)


def load(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    return load_settings(**{"platform_id": PLATFORM, **arguments}, environ=environ or {})


def inner(settings: Settings) -> object:
    assert isinstance(settings.signer, DelegationTokenSigner)
    return settings.signer._signer


class TestNamed:
    @pytest.mark.parametrize(
        ("auth", "environ", "expected"),
        [
            ("api_key", {}, ApiKeySigner),
            ("security_token", {}, SessionTokenSigner),
            ("instance_principal", {}, InstancePrincipalSigner),
            ("instance_obo_user", {}, DelegationTokenSigner),
            ("resource_principal", RESOURCE, ResourcePrincipalSigner),
            ("oke_workload_identity", OKE, OkeWorkloadIdentitySigner),
        ],
    )
    @pytest.mark.parametrize("where", ["argument", "OCI_CLI_AUTH", "authentication_type"])
    def test_every_kind_may_be_named_in_three_places(  # noqa: PLR0917
        self,
        auth: str,
        environ: dict[str, str],
        expected: type,
        where: str,
        home: Home,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        named = {"authentication_type": auth} if where == "authentication_type" else {}
        home.profiles(DEFAULT={**home.delegation, **home.session, **home.api, **named})
        if auth in ("instance_principal", "resource_principal"):
            home.profiles(DEFAULT={**home.session, **home.api, **named})
        more = {"OCI_CLI_AUTH": auth} if where == "OCI_CLI_AUTH" else {}

        settings = load({**environ, **more}, auth=auth if where == "argument" else None)

        origin = f"authentication_type of profile 'DEFAULT' in {home.config}"
        because = {"argument": "the argument auth", "authentication_type": origin}.get(where, where)
        assert type(settings.signer) is expected
        assert [record.getMessage() for record in caplog.records] == [f"signing as {auth}, because of {because}"]

    def test_the_argument_takes_precedence_over_the_variable_and_that_over_the_profile(self, home: Home) -> None:
        home.profiles(DEFAULT={**home.session, **home.api, "authentication_type": "instance_principal"})
        environ = {"OCI_CLI_AUTH": "security_token"}

        kinds = [type(load(environ, auth="api_key").signer), type(load(environ).signer), type(load().signer)]

        assert kinds == [ApiKeySigner, SessionTokenSigner, InstancePrincipalSigner]

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [("instance_principal", InstancePrincipalSigner), ("resource_principal", ResourcePrincipalSigner)],
    )
    def test_a_principal_with_a_delegation_token_acts_for_the_user(
        self, kind: str, expected: type, home: Home, caplog: pytest.LogCaptureFixture
    ) -> None:
        home.profiles(DEFAULT={**home.delegation, "authentication_type": kind})

        settings = load(RESOURCE)

        assert type(inner(settings)) is expected
        profile = f"of profile 'DEFAULT' in {home.config}"
        because = f"authentication_type {profile} and delegation_token_file {profile}"
        assert caplog.messages == [f"signing as instance_obo_user, because of {because}"]

    def test_an_unknown_kind_is_named_with_those_that_exist(self, home: Home) -> None:
        kinds = "api_key, security_token, instance_principal, instance_obo_user, resource_principal, "
        home.profiles(DEFAULT={"authentication_type": "magic"})

        with pytest.raises(ConfigError) as caught:
            load()

        assert str(caught.value) == (
            f"authentication_type of profile 'DEFAULT' in {home.config}: auth 'magic' is not known; "
            f"use one of {kinds}oke_workload_identity"
        )

    def test_a_profile_with_its_own_user_does_not_inherit_the_kind(self, home: Home) -> None:
        home.profiles(DEFAULT={"authentication_type": "instance_principal"}, A=home.api)

        assert type(load(profile="A").signer) is ApiKeySigner


class TestImplied:
    @pytest.mark.parametrize(
        ("kinds", "environ", "expected", "key"),
        [
            ("delegation session", {}, DelegationTokenSigner, "delegation_token_file"),
            ("session api", {}, SessionTokenSigner, "security_token_file"),
            ("api", RESOURCE, ApiKeySigner, "user"),
        ],
    )
    def test_the_values_of_the_profile_decide(  # noqa: PLR0917
        self,
        kinds: str,
        environ: dict[str, str],
        expected: type,
        key: str,
        home: Home,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        values: dict[str, object] = {}
        for kind in kinds.split():
            values |= getattr(home, kind)
        home.profiles(DEFAULT=values)

        settings = load(environ)

        assert type(settings.signer) is expected
        assert caplog.messages[0].endswith(f", because of {key} of profile 'DEFAULT' in {home.config}")

    @pytest.mark.parametrize("profile", [{}, {"region": "fra"}, {"tenancy": TENANCY}])
    def test_without_any_of_these_the_variables_of_a_resource_principal_decide(
        self, profile: dict[str, object], home: Home, caplog: pytest.LogCaptureFixture
    ) -> None:
        if profile:
            home.profiles(DEFAULT=profile)

        settings = load(RESOURCE)

        assert type(settings.signer) is ResourcePrincipalSigner
        assert settings.region == profile.get("region", "us-phoenix-1")
        assert caplog.messages == ["signing as resource_principal, because of OCI_RESOURCE_PRINCIPAL_VERSION"]

    def test_without_any_setting_the_error_lists_what_was_tried(self, home: Home) -> None:
        with pytest.raises(ConfigError) as caught:
            load()
        nothing = str(caught.value)
        home.profiles(DEFAULT={"region": "fra"})
        with pytest.raises(ConfigError) as caught:
            load()

        for tried in (
            "auth=",
            "OCI_CLI_AUTH",
            "authentication_type",
            "delegation_token_file",
            "security_token_file",
            "API key",
            "(no config file at ~/.oci/config or ~/.oraclebmc/config)",
            "OCI_RESOURCE_PRINCIPAL_VERSION",
            "`oci setup config`",
            "OCI_CLI_KEY_FILE",
            "instance_principal",
        ):
            assert tried in nothing
        assert f"(profile 'DEFAULT' of {home.config})" in str(caught.value)


class TestDetails:
    def test_a_session_is_refreshed_in_the_region_of_its_profile(self, home: Home) -> None:
        urls = []
        for region in ("fra", "eu-x-1", None):
            home.profiles(DEFAULT={**home.session, **({"region": region} if region else {})})
            signer = load().signer
            assert isinstance(signer, SessionTokenSigner)
            urls.append(signer._refresh_url)

        assert urls == ["https://auth.eu-frankfurt-1.oraclecloud.com/v1/authentication/refresh", None, None]

    def test_a_custom_token_service_is_used(self, home: Home) -> None:
        environ = {"OCI_CLI_FEDERATION_ENDPOINT": "https://auth.example/v1/x509"}
        signer = load(environ, auth="instance_principal").signer

        assert isinstance(signer, InstancePrincipalSigner)
        assert signer._federation == "https://auth.example/v1/x509"
        with pytest.raises(ConfigError, match=r"^OCI_CLI_FEDERATION_ENDPOINT: endpoint 'http://a' must use https"):
            load({"OCI_CLI_FEDERATION_ENDPOINT": "http://a"}, auth="instance_principal")

    def test_a_missing_delegation_token_is_named(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api)
        with pytest.raises(ConfigError, match="lacks delegation_token_file; add what is missing, set OCI_CLI_DELEG"):
            load(auth="instance_obo_user")
        home.profiles(DEFAULT={"delegation_token_file": "/none"})
        with pytest.raises(ConfigError) as caught:
            load()

        assert str(caught.value) == (
            f"delegation_token_file of profile 'DEFAULT' in {home.config}: delegation token file /none does not exist"
        )

    def test_the_region_of_the_principal_serves_a_platform_that_names_none(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in RESOURCE.items():
            monkeypatch.setenv(name, value)

        client = SessionsClient.from_config(REGIONLESS)

        assert "https://aidp.us-phoenix-1.oci.oraclecloud.com/" in repr(client)


class TestPermissions:
    @pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)])
    @pytest.mark.parametrize("kind", ["api", "session"])
    def test_a_key_that_others_can_read_is_warned_of(
        self, kind: str, mode: int, warned: int, home: Home, caplog: pytest.LogCaptureFixture
    ) -> None:
        values: dict[str, object] = getattr(home, kind)
        home.profiles(DEFAULT=values)
        (home.path / "k.pem").chmod(mode)
        caplog.set_level("WARNING", "aidp_sessions")

        load()

        path = home.path / "k.pem"
        origin = f"key_file of profile 'DEFAULT' in {home.config}"
        warning = f"{origin}: private key file {path} can be read by others; run: chmod 600 {path}"
        assert caplog.messages == warned * [warning]

    @pytest.mark.parametrize(("value", "warned"), [("True", 0), ("1", 0), ("False", 1), (" ", 1)])
    def test_the_variable_of_the_oci_tools_disables_the_warning(
        self, value: str, warned: int, home: Home, caplog: pytest.LogCaptureFixture
    ) -> None:
        home.profiles(DEFAULT=home.api)
        (home.path / "k.pem").chmod(0o644)
        caplog.set_level("WARNING", "aidp_sessions")

        load({"OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING": value})

        assert len(caplog.messages) == warned
