"""Settings are read where the OCI tools keep them; errors name place, key and remedy, and never a secret."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci.config import from_file

from aidp_sessions.auth.config import extra_regions, load_profile
from aidp_sessions.auth.files import TextFile
from aidp_sessions.endpoints import Region
from aidp_sessions.errors import AidpError, ConfigError, CredentialsError
from aidp_sessions.principals.api_key import ApiKeySigner
from aidp_sessions.principals.session_token import SessionTokenSigner
from aidp_sessions.principals.settings import Settings, load_settings

from ..helpers.credentials import (
    GET,
    TENANCY,
    USER,
    fingerprint,
    jwt,
    pem,
    pipe,
)
from ..helpers.exception_chains import exception_chain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLATFORM = "ocid1.aidataplatform.oc1.iad.aaaa"
OTHER_PLATFORM = "ocid1.aidataplatform.oc1.phx.bbbb"
OTHER_USER = "ocid1.user.oc1..bbbbuser"
FOREVER = 4_000_000_000
SECRET = "canary-passphrase"


@attrs.frozen
class Home:
    """A home folder with keys, a token and the config file of a test."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / ".oci" / "config"

    def write(self, text: str, path: Path | None = None) -> Path:
        path = path or self.config
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def profiles(self, **profiles: Mapping[str, object]) -> Path:
        lines = []
        for name, values in profiles.items():
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
        return self.write("\n".join(lines))

    def api_key(self, number: int = 0, **changes: object) -> dict[str, object]:
        values = {"tenancy": TENANCY, "user": USER, "fingerprint": fingerprint(number), **self.key(number), **changes}
        return {key: value for key, value in values.items() if value is not None}

    def key(self, number: int = 0) -> dict[str, object]:
        path = self.write(pem(number), self.path / f"{number}.pem")
        return {"key_file": path}

    def session(self, **changes: object) -> dict[str, object]:
        token = self.write(jwt(exp=FOREVER), self.path / "token")
        return {"tenancy": TENANCY, **self.key(), "security_token_file": token, **changes}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in os.environ:
        if name.startswith(("OCI_", "AIDP_", "INSTANCE_ID")):
            monkeypatch.delenv(name)
    return Home(tmp_path)


def load(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:  # passed on as they are
    return load_settings(**{"platform_id": PLATFORM, **arguments}, environ=environ or {})


def api_key(settings: Settings) -> tuple[str, str, str]:
    assert isinstance(settings.signer, ApiKeySigner)
    return (settings.signer.tenancy, settings.signer.user, settings.signer.fingerprint)


def fails(environ: Mapping[str, str] | None = None, **arguments: Any) -> str:  # passed on as they are
    with pytest.raises(ConfigError) as caught:
        load(environ, **arguments)
    return str(caught.value)


class TestFile:
    @pytest.mark.parametrize("auth", [None, "instance_principal"])
    def test_a_home_that_cannot_be_searched_counts_as_one_without_a_config_file(
        self, auth: str | None, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", f"/{'a' * 300}")
        if auth is None:
            assert fails().startswith("no credentials were found: ")
        else:
            assert repr(load(auth=auth).signer) == "InstancePrincipalSigner(<no token yet>)"

    def test_the_default_profile_of_the_default_file_is_read(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key(region="eu-frankfurt-1"))

        settings = load()

        assert api_key(settings) == (TENANCY, USER, fingerprint())
        assert (settings.platform_id, settings.region, settings.endpoint) == (PLATFORM, "eu-frankfurt-1", None)

    @pytest.mark.parametrize(
        ("places", "environ", "used"),
        [
            (["argument", "cli", "sdk", "oci", "old"], ["cli", "sdk"], "argument"),
            (["cli", "sdk", "oci", "old"], ["cli", "sdk"], "cli"),
            (["sdk", "oci", "old"], ["sdk"], "sdk"),
            (["oci", "old"], [], "oci"),
            (["old"], [], "old"),
        ],
    )
    def test_the_file_is_the_argument_then_the_environment_then_the_default(
        self, places: list[str], environ: list[str], used: str, home: Home
    ) -> None:
        paths = {name: home.path / f"{name}.ini" for name in ("argument", "cli", "sdk")}
        paths |= {"oci": home.config, "old": home.path / ".oraclebmc" / "config"}
        for place in places:
            home.write(f"[DEFAULT]\nregion = {place}", paths[place])
        variables = {"cli": "OCI_CLI_CONFIG_FILE", "sdk": "OCI_CONFIG_FILE"}

        profile = load_profile(
            config_file=paths["argument"] if "argument" in places else None,
            environ={variables[name]: f"~/{name}.ini" for name in environ},
        )

        assert (profile.file, profile.settings["region"].value) == (paths[used], used)

    @pytest.mark.parametrize(
        ("argument", "environ", "name"),
        [("A", {"OCI_CLI_PROFILE": "B"}, "A"), (None, {"OCI_CLI_PROFILE": "B"}, "B"), (None, {}, "DEFAULT")],
    )
    def test_the_profile_is_the_argument_then_the_environment_then_default(
        self, argument: str | None, environ: dict[str, str], name: str, home: Home
    ) -> None:
        home.profiles(DEFAULT={"region": "DEFAULT"}, A={"region": "A"}, B={"region": "B"})

        profile = load_profile(argument, environ=environ)

        assert (profile.name, profile.settings["region"].value) == (name, name)

    def test_without_an_environ_the_real_one_is_read(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        home.profiles(B={"region": "phx"})
        monkeypatch.setenv("OCI_CLI_PROFILE", "B")

        assert load_profile().name == "B"

    def test_a_missing_file_is_named(self, home: Home) -> None:
        assert fails(config_file="~/none") == f"config file {home.path}/none does not exist"

    def test_a_missing_file_of_the_environment_is_named_with_its_variable(self, home: Home) -> None:
        assert fails({"OCI_CONFIG_FILE": "~/none"}) == (f"OCI_CONFIG_FILE: config file {home.path}/none does not exist")

    def test_an_unknown_profile_is_named_with_those_that_exist(self, home: Home) -> None:
        home.profiles(DEFAULT={}, A={}, B={})

        assert fails(profile="b") == f"profile 'b' is not in {home.config}; its profiles: DEFAULT, A, B"
        assert fails({"OCI_CLI_PROFILE": "b"}) == (
            f"OCI_CLI_PROFILE 'b' is not in {home.config}; its profiles: DEFAULT, A, B"
        )

    def test_a_profile_without_a_file_is_refused(self, home: Home) -> None:
        assert home.config.exists() is False
        assert fails(profile="A") == (
            "profile 'A' needs a config file, and there is none at ~/.oci/config or ~/.oraclebmc/config"
        )

    def test_all_missing_keys_are_named_at_once_with_their_variables(self, home: Home) -> None:
        home.profiles(DEFAULT={"tenancy": TENANCY, "user": " "}, A={})

        assert fails() == (
            f"profile 'DEFAULT' of {home.config} lacks user, fingerprint, key_file; add what is missing, "
            "set OCI_CLI_USER, OCI_CLI_FINGERPRINT, OCI_CLI_KEY_FILE, "
            "or choose another profile (its profiles: DEFAULT, A)"
        )


class TestSyntax:
    def test_values_are_taken_literally(self, home: Home) -> None:
        home.write("\ufeff# comment\n; comment\n[DEFAULT]\nPass_Phrase: 100%(x)s = # not a comment\nREGION=phx")

        settings = load_profile(environ={}).settings

        assert {key: setting.value for key, setting in settings.items()} == {
            "pass_phrase": "100%(x)s = # not a comment",
            "region": "phx",
        }

    @pytest.mark.parametrize(
        ("text", "line", "problem"),
        [
            ("[A]\na=1\n[A]\n", 3, "profile 'A' exists twice"),
            ("[A]\npass_phrase=canary\npass_phrase=canary", 3, "pass_phrase exists twice in profile 'A'"),
            ("\npass_phrase=canary", 2, "there is text before the first profile; begin with a line [DEFAULT]"),
            ("[A]\n\ncanary\n", 3, "this is neither [profile], nor key=value, nor a comment"),
        ],
    )
    def test_the_error_names_the_line_of_a_malformed_file_and_does_not_quote_it(
        self, text: str, line: int, problem: str, home: Home
    ) -> None:
        home.write(text)

        with pytest.raises(ConfigError) as caught:
            load_profile(environ={})

        assert str(caught.value) == f"{home.config}, line {line}: {problem}"
        assert caught.value.__context__ is None

    def test_a_file_that_is_not_text_is_named(self, home: Home) -> None:
        home.write("").write_bytes(b"\xff\xfe[")

        assert fails() == f"config file {home.config} is not a text file"

    @given(
        sections=st.dictionaries(
            st.sampled_from(["DEFAULT", "A", "b"]),
            st.dictionaries(
                st.sampled_from(["user", "tenancy", "region", "pass_phrase", "extra"]),
                st.text(
                    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="\x85\xa0"), min_size=1
                ),
            ),
            min_size=1,
        ),
        profile=st.sampled_from(["DEFAULT", "A", "b"]),
    )
    def test_a_profile_reads_as_in_the_official_sdk(
        self, sections: dict[str, dict[str, str]], profile: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("config") / "config"
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key}={value}" for key, value in values.items())]
        path.write_text("\n".join(lines), encoding="utf-8")
        if profile not in {*sections, "DEFAULT"}:
            with pytest.raises(ConfigError):
                load_profile(profile, path, environ={})
            return

        ours = load_profile(profile, path, environ={})

        official = from_file(str(path), profile)
        known = {*sections.get("DEFAULT", {}), *sections.get(profile, {})}
        assert {key: setting.value for key, setting in ours.settings.items()} == {key: official[key] for key in known}

    def test_a_blank_value_hides_the_inherited_one(self, home: Home) -> None:
        home.profiles(DEFAULT={"pass_phrase": "x"}, A={"pass_phrase": ""})

        assert load_profile("A", environ={}).settings == {}


ENVIRONMENT = {"OCI_CLI_USER": OTHER_USER, "OCI_CLI_TENANCY": TENANCY, "OCI_CLI_FINGERPRINT": fingerprint(1)}


class TestEnvironment:
    def test_a_complete_environment_needs_no_file(self, home: Home) -> None:
        path = home.key(1)["key_file"]

        by_file = load({**ENVIRONMENT, "OCI_CLI_KEY_FILE": str(path), "OCI_CLI_REGION": "PHX"})
        by_content = load({**ENVIRONMENT, "OCI_CLI_KEY_CONTENT": pem(1, SECRET), "OCI_CLI_PASSPHRASE": SECRET})

        assert api_key(by_file) == api_key(by_content) == (TENANCY, OTHER_USER, fingerprint(1))
        assert (by_file.region, by_content.region) == ("phx", None)

    def test_each_variable_takes_precedence_over_the_file(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key(region="fra", key_file="/none"))

        settings = load({**ENVIRONMENT, "OCI_CLI_KEY_CONTENT": pem(1), "OCI_REGION": "phx"})

        assert (api_key(settings), settings.region) == ((TENANCY, OTHER_USER, fingerprint(1)), "phx")

    def test_the_cli_variable_of_the_region_takes_precedence(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())

        assert load({"OCI_CLI_REGION": "lhr", "OCI_REGION": "phx"}).region == "lhr"

    def test_a_blank_variable_counts_as_not_set(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key(region="fra"))

        settings = load(dict.fromkeys(["OCI_REGION", "OCI_CLI_AUTH", "OCI_CLI_PROFILE", "AIDP_ENDPOINT"], " "))

        assert settings.region == "fra"

    def test_the_platform_is_the_argument_then_the_environment(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())
        environ = {"AIDP_INSTANCE_ID": OTHER_PLATFORM, "INSTANCE_ID": "unused"}

        platforms = [
            load(environ).platform_id,
            load(environ, platform_id=None).platform_id,
            load({"INSTANCE_ID": OTHER_PLATFORM}, platform_id=None).platform_id,
        ]

        assert platforms == [PLATFORM, OTHER_PLATFORM, OTHER_PLATFORM]

    def test_the_endpoint_is_the_argument_then_the_environment(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())
        environ = {"AIDP_ENDPOINT": "https://aidp.example/", "OCI_CLI_ENDPOINT": "https://cli.example"}

        endpoints = [
            load(environ, endpoint="https://argument.example:443").endpoint,
            load(environ).endpoint,
            load({"OCI_CLI_ENDPOINT": "https://cli.example"}).endpoint,
        ]

        assert endpoints == ["https://argument.example", "https://aidp.example", "https://cli.example"]

    @pytest.mark.parametrize(
        ("environ", "message"),
        [
            ({"AIDP_INSTANCE_ID": "x"}, "AIDP_INSTANCE_ID: platform_id 'x' is not an OCID; "),
            ({"AIDP_ENDPOINT": "http://h"}, "AIDP_ENDPOINT: endpoint 'http://h' must use https; "),
            ({"OCI_CLI_REGION": "a.b"}, "OCI_CLI_REGION: region 'a.b' is not a region name "),
            ({"OCI_CLI_AUTH": "magic"}, "OCI_CLI_AUTH: auth 'magic' is not known; use one of api_key, security_token"),
            ({"OCI_CLI_USER": "me"}, "OCI_CLI_USER: user 'me' is not valid; "),
            ({"OCI_CLI_KEY_CONTENT": "junk"}, "OCI_CLI_KEY_CONTENT: private key is not a PEM private key; "),
        ],
    )
    def test_a_malformed_variable_is_named(self, environ: dict[str, str], message: str, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())

        with pytest.raises((ConfigError, CredentialsError)) as caught:
            load({"AIDP_INSTANCE_ID": PLATFORM, **environ}, platform_id=None)

        assert str(caught.value).startswith(message)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"platform_id": "x"}, "platform_id 'x' is not an OCID; "),
            ({"endpoint": "http://h"}, "endpoint 'http://h' must use https; "),
            ({"auth": "magic"}, "auth 'magic' is not known; use one of api_key, security_token"),
        ],
    )
    def test_a_malformed_argument_is_a_value_error(self, arguments: dict[str, Any], message: str, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())

        with pytest.raises(ValueError) as caught:
            load(**arguments)

        assert str(caught.value).startswith(message)

    def test_a_missing_platform_is_an_error_that_says_how_to_give_one(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())

        assert fails(platform_id=None) == (
            "no AI Data Platform is named; pass platform_id, or set AIDP_INSTANCE_ID to its OCID"
        )

    def test_a_custom_region_is_read(self) -> None:
        metadata = {
            "regionIdentifier": "eu-x-1", "regionKey": "xyz", "realmKey": "oc99", "realmDomainComponent": "x.com"
        }  # fmt: skip

        assert extra_regions({"OCI_REGION_METADATA": json.dumps(metadata)}) == (
            Region("eu-x-1", "xyz", "oc99", "x.com"),
        )
        assert extra_regions({}) == ()

    def test_a_malformed_custom_region_is_named(self) -> None:
        with pytest.raises(ConfigError, match=r"^OCI_REGION_METADATA must be one JSON object"):
            extra_regions({"OCI_REGION_METADATA": "x"})


class TestAuth:
    """Which principal a profile selects, also with inherited values."""

    @pytest.mark.parametrize(
        ("default", "own", "environ", "expected"),
        [
            ("api", "api", {}, ApiKeySigner),
            ("session", "", {}, SessionTokenSigner),
            ("", "session", {}, SessionTokenSigner),
            ("api", "session", {}, SessionTokenSigner),
            ("session", "api", {}, ApiKeySigner),
            ("api+session", "", {}, ApiKeySigner),
            ("api", "api+session", {}, SessionTokenSigner),
            ("", "session", ENVIRONMENT | {"OCI_CLI_KEY_CONTENT": pem(1)}, ApiKeySigner),
            ("", "session", {"OCI_CLI_AUTH": "security_token"} | ENVIRONMENT, SessionTokenSigner),
            ("", "api+session", {"OCI_CLI_AUTH": "api_key"}, ApiKeySigner),
        ],
    )
    def test_the_most_specific_setting_decides(
        self, default: str, own: str, environ: dict[str, str], expected: type, home: Home
    ) -> None:
        kinds = {
            "": {},
            "api": home.api_key(),
            "session": home.session(),
            "api+session": home.api_key() | home.session(),
        }
        home.profiles(DEFAULT=kinds[default], A=kinds[own])

        assert type(load(environ, profile="A").signer) is expected

    def test_a_token_file_in_the_environment_takes_precedence_over_a_user_in_the_file(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key())
        token = str(home.session()["security_token_file"])

        assert type(load({"OCI_CLI_SECURITY_TOKEN_FILE": token}).signer) is SessionTokenSigner

    def test_the_argument_takes_precedence_over_the_environment(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key() | home.session())

        settings = load({"OCI_CLI_AUTH": "security_token"}, auth="api_key")

        assert type(settings.signer) is ApiKeySigner

    async def test_an_inherited_passphrase_is_ignored_for_an_unencrypted_key(self, home: Home) -> None:
        home.profiles(DEFAULT={"pass_phrase": SECRET}, A=home.api_key(), B=home.session())

        for profile in ("A", "B"):
            assert "authorization" in await load(profile=profile).signer.sign(GET)

    def test_an_inherited_key_with_another_fingerprint_is_refused(self, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key(), A=home.api_key(1, key_file=None))

        with pytest.raises(CredentialsError) as caught:
            load(profile="A")

        assert str(caught.value).startswith(
            f"profile 'A' of {home.config}: fingerprint {fingerprint(1)} does not belong to the private key, "
            f"whose fingerprint is {fingerprint()}; "
        )


class TestKeys:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            (
                {"user": "me # mine"},
                "user of profile 'A' in {config}: user 'me # mine' is not valid; it must be an OCID",
            ),
            (
                {"tenancy": "acme"},
                "tenancy of profile 'A' in {config}: tenancy 'acme' is not valid; it must be an OCID",
            ),
            (
                {"fingerprint": "x"},
                "fingerprint of profile 'A' in {config}: fingerprint 'x' is not valid; it must be 16",
            ),
            ({"region": "a b"}, "region of profile 'A' in {config}: region 'a b' is not a region name"),
            ({"key_file": "~/x"}, "key_file of profile 'A' in {config}: private key file ~/x does not exist"),
            (
                {"key_file": None, "key_content": "canary"},
                "key_content of profile 'A' in {config}: a config file cannot hold the key; put it into a file",
            ),
        ],
    )
    def test_a_malformed_value_is_named_by_file_profile_and_key(
        self, changes: dict[str, Any], problem: str, home: Home
    ) -> None:
        home.profiles(A=home.api_key(**changes))

        message = fails(profile="A")

        assert message.startswith(problem.format(config=home.config))
        assert "canary" not in message

    def test_an_inherited_value_is_named_by_the_profile_it_comes_from(self, home: Home) -> None:
        home.profiles(DEFAULT={"user": "me"}, A=home.api_key(user=None))

        assert fails(profile="A").startswith(f"user of profile 'DEFAULT' in {home.config}: user 'me' is not valid")

    @pytest.mark.parametrize("profile", ["API", "SESSION"])
    @pytest.mark.parametrize(
        ("pass_phrase", "problem"),
        [
            ({}, "is encrypted and no passphrase was given; set pass_phrase"),
            ({"pass_phrase": "canary"}, "cannot be read: the passphrase is wrong, or the key is damaged"),
        ],
    )
    def test_an_unusable_key_is_named_by_file_profile_key_and_path(
        self, profile: str, pass_phrase: dict[str, str], problem: str, home: Home
    ) -> None:
        locked = home.write(pem(0, SECRET), home.path / "locked.pem")
        home.profiles(
            API=home.api_key(key_file=locked) | pass_phrase, SESSION=home.session(key_file=locked) | pass_phrase
        )

        with pytest.raises(CredentialsError) as caught:
            load(profile=profile)

        assert str(caught.value) == (
            f"key_file of profile '{profile}' in {home.config}: private key file {locked} {problem}"
        )

    async def test_a_key_file_in_the_home_folder_with_a_passphrase_is_read(self, home: Home) -> None:
        home.write(f"{pem(0, SECRET)}OCI_API_KEY\n", home.path / "locked.pem")
        for profile in (home.api_key(key_file="~/locked.pem"), home.session(key_file="~/locked.pem")):
            home.profiles(DEFAULT=profile | {"pass_phrase": SECRET})

            assert "authorization" in await load().signer.sign(GET)

    def test_a_missing_or_unusable_token_file_is_named_by_file_profile_and_key(self, home: Home) -> None:
        home.profiles(A=home.session())
        origin = f"security_token_file of profile 'A' in {home.config}"
        token = home.path / "token"

        token.write_text("canary")
        with pytest.raises(CredentialsError) as caught:
            load(profile="A")
        token.unlink()

        assert str(caught.value).startswith(f"{origin}: session token file {token} is not a JWT; ")
        assert fails(profile="A") == f"{origin}: session token file {token} does not exist"

    def test_a_session_profile_needs_token_and_key(self, home: Home) -> None:
        home.profiles(A={})

        assert fails(profile="A", auth="security_token").startswith(
            f"profile 'A' of {home.config} lacks security_token_file, key_file; "
        )


SESSION_TOKEN = jwt(exp=FOREVER, canary=SECRET)
SETTINGS = ("user", "tenancy", "fingerprint", "region", "key_file", "security_token_file", "authentication_type")

VARIABLES = (
    *("OCI_CLI_USER", "OCI_CLI_TENANCY", "OCI_CLI_FINGERPRINT", "OCI_CLI_REGION", "OCI_CLI_KEY_FILE"),
    *("OCI_CLI_SECURITY_TOKEN_FILE", "OCI_CLI_DELEGATION_TOKEN_FILE", "OCI_CLI_CONFIG_FILE", "OCI_CLI_PROFILE"),
    *("OCI_CLI_AUTH", "AIDP_INSTANCE_ID", "AIDP_ENDPOINT"),
)
TOKENS = (SESSION_TOKEN, f"ST${SESSION_TOKEN}")
KEYS = (pem(), pem().replace("\n", " "), pem().replace("\n", r"\n"))
MISTAKES = [(name, value) for name in VARIABLES for value in (*TOKENS, *KEYS)]
MISTAKES += [("OCI_CLI_KEY_CONTENT", value) for value in TOKENS]


def shows(error: BaseException) -> list[str]:
    """The secrets that *error* or an exception behind it shows."""
    text = "".join(f"{link}{link!r}" for link in exception_chain(error))
    return [secret for secret in (SECRET, SESSION_TOKEN, *pem().splitlines()[1:-1]) if secret in text]


class TestSecrets:
    """The value of a setting may by mistake hold a secret that belongs to another setting."""

    @pytest.mark.parametrize("key", SETTINGS)
    @pytest.mark.parametrize("inserted", ["\n  pass_phrase = {}", "\n\tpass_phrase={}", "\n pass_phrase\n {}"])
    def test_a_line_that_is_indented_by_mistake_is_refused_by_name(self, key: str, inserted: str, home: Home) -> None:
        values = home.session(region="phx", user=USER, fingerprint=fingerprint(), authentication_type="security_token")
        home.profiles(A=values | {key: f"{values[key]}{inserted.format(SECRET)}"})

        with pytest.raises(ConfigError) as caught:
            load(profile="A")

        assert str(caught.value) == (
            f"{key} of profile 'A' in {home.config}: the next line is indented and therefore continues it; "
            "remove the indent"
        )
        assert shows(caught.value) == []

    def test_the_next_line_may_hold_the_whole_value(self, home: Home) -> None:
        home.profiles(A=home.api_key(region="\n  phx"))

        assert load(profile="A").region == "phx"

    @pytest.mark.parametrize("key", SETTINGS)
    @pytest.mark.parametrize("separator", ["=", " = ", ":", ": "])
    def test_a_line_break_that_was_lost_shows_nothing(self, key: str, separator: str, home: Home) -> None:
        """What follows is the passphrase, or a key or token that was pasted."""
        values = home.session(region="phx", user=USER, fingerprint=fingerprint(), authentication_type="security_token")
        if key == "user":
            del values["security_token_file"], values["authentication_type"]
        home.profiles(A=values | {key: f"{values[key]}pass_phrase{separator}{SECRET}"})

        with pytest.raises(AidpError, match=f"^{key} of profile 'A' in {home.config}: ") as caught:
            load(profile="A", auth="api_key" if key in ("user", "tenancy", "fingerprint") else None)

        assert shows(caught.value) == []

    @pytest.mark.parametrize(("name", "value"), MISTAKES, ids=map(str, itertools.count()))
    def test_a_variable_that_holds_a_key_or_a_token_is_named_alone(self, name: str, value: str, home: Home) -> None:
        home.profiles(DEFAULT=home.api_key(region="phx"))

        with pytest.raises(AidpError) as caught:
            load({name: value}, platform_id=None if name == "AIDP_INSTANCE_ID" else PLATFORM)

        assert str(caught.value).startswith(name)
        assert shows(caught.value) == []

    @pytest.mark.parametrize(
        ("auth", "environ"),
        [
            ("instance_principal", {"OCI_METADATA_BASE_URL": f"http://me:{SECRET}@169.254.169.254/opc/v2"}),
            ("instance_principal", {"OCI_METADATA_BASE_URL": f"http://me:{SECRET}/x@169.254.169.254/opc/v2"}),
            ("instance_principal", {"OCI_METADATA_BASE_URL": "http://"}),
            ("instance_principal", {"OCI_CLI_FEDERATION_ENDPOINT": f"https://me:{SECRET}@auth.example"}),
            ("resource_principal", {"OCI_RESOURCE_PRINCIPAL_VERSION": SESSION_TOKEN}),
            ("oke_workload_identity", {"KUBERNETES_SERVICE_HOST": SESSION_TOKEN}),
            ("oke_workload_identity", {"KUBERNETES_SERVICE_HOST": f"me:{SECRET}@10.0.0.1"}),
            ("oke_workload_identity", {"KUBERNETES_SERVICE_HOST": "a" * 64}),
        ],
    )
    def test_the_variables_of_principals_are_refused_by_name(
        self, auth: str, environ: dict[str, str], home: Home
    ) -> None:
        with pytest.raises(ConfigError, match=f"^{next(iter(environ))}") as caught:
            load(environ, auth=auth)

        assert shows(caught.value) == []
        assert home.path.exists()

    @pytest.mark.parametrize("url", [f"https://me:{SECRET}/x@h", f"https://me:{SECRET}@h:port", f"me:{SECRET}@h"])
    def test_a_password_in_the_endpoint_is_not_shown(self, url: str, home: Home) -> None:
        with pytest.raises(ConfigError, match=r"^AIDP_ENDPOINT: ") as caught:
            load({"AIDP_ENDPOINT": url})

        assert shows(caught.value) == []
        assert home.path.exists()

    def test_a_key_that_was_pasted_into_the_file_is_not_shown(self, home: Home) -> None:
        line = pem().splitlines()[1]
        home.write(f"[A]\n{line}=\n{line}=\n")

        assert fails(profile="A") == f"{home.config}, line 3: a key exists twice in profile 'A'"

    def test_a_passphrase_in_the_header_of_a_profile_is_not_listed(self, home: Home) -> None:
        home.write(f"[DEFAULT pass_phrase={SECRET}]\n[A]\n")

        with pytest.raises(ConfigError) as caught:
            load(profile="B")

        assert str(caught.value) == f"profile 'B' is not in {home.config}; its profiles: A"
        assert shows(caught.value) == []

    def test_an_argument_may_be_a_token_by_mistake(self, home: Home) -> None:
        with pytest.raises(ValueError, match=r"^auth \(not shown, .*\) is not known; use one of api_key, ") as caught:
            load(auth=SESSION_TOKEN)

        assert shows(caught.value) == []
        assert home.path.exists()


class TestPipes:
    @pytest.mark.parametrize("kind", ["api_key", "security_token", "instance_obo_user"])
    async def test_everything_may_come_from_pipes_as_each_is_read_once(self, kind: str, home: Home) -> None:
        with pipe(pem()) as key_file, pipe(jwt(exp=FOREVER)) as token_file:
            profiles: dict[str, Mapping[str, object]] = {
                "api_key": home.api_key(key_file=key_file),
                "security_token": {"key_file": key_file, "security_token_file": token_file},
                "instance_obo_user": {"delegation_token_file": token_file},
            }
            lines = "\n".join(f"{key} = {value}" for key, value in profiles[kind].items())
            with pipe(f"[DEFAULT]\n{lines}\n") as config:
                signer = load({"OCI_CLI_CONFIG_FILE": config}, auth=kind).signer
            if kind != "instance_obo_user":  # which would ask a metadata service
                assert "authorization" in await signer.sign(GET)


class TestRegions:
    def test_the_file_of_regions_goes_before_the_variable(self, home: Home) -> None:
        ours = {"regionIdentifier": "eu-x-1", "regionKey": "XXX", "realmKey": "OC9", "realmDomainComponent": "X.eu"}
        home.write(json.dumps([ours, ours | {"regionKey": "yyy"}]), home.config.with_name("regions-config.json"))

        found = extra_regions({"OCI_REGION_METADATA": json.dumps(ours | {"regionKey": "zzz"})})

        assert found == tuple(Region("eu-x-1", key, "oc9", "x.eu") for key in ("xxx", "yyy", "zzz"))

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("{}", " must be a JSON array of objects with the keys regionIdentifier, regionKey, realmKey, "),
            ("[" * 100_000, " must be a JSON array of objects with the keys "),
            ("[5]", ", entry 1 must be one JSON object with the keys "),
            ("[{}]", ", entry 1: regionIdentifier is None; it must be a string "),
        ],
    )
    def test_a_malformed_file_of_regions_is_named(self, text: str, problem: str, home: Home) -> None:
        path = home.write(text, home.config.with_name("regions-config.json"))

        with pytest.raises(ConfigError) as caught:
            extra_regions({})

        assert str(caught.value).startswith(f"{path}{problem}")


def test_no_repr_shows_a_secret(home: Home) -> None:
    home.profiles(DEFAULT=home.api_key(pass_phrase=SECRET))

    shown = f"{load_profile(environ={})!r} {load_profile(environ={}).get('pass_phrase')!r} {load()!r}"

    assert SECRET not in shown
    assert pem().splitlines()[1] not in shown


@pytest.mark.parametrize("path", ["\0", "a" * 5000])
def test_an_impossible_path_is_a_config_error(path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read: "):
        TextFile(path, "config file").read()
