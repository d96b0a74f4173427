"""The URL of the service comes from endpoint, region and OCID, in that order; invalid values are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci import regions as official
from yarl import URL

from aidp_sessions.endpoints import (
    REGIONS,
    Region,
    base_url,
    check_endpoint,
    check_platform_id,
    check_region,
    parse_region_metadata,
    region_of,
)
from aidp_sessions.errors import ConfigError

ASHBURN = "ocid1.aidataplatform.oc1.iad.aaaa"
NOWHERE = "ocid1.aidataplatform.oc1..aaaa"
METADATA = {
    "realmKey": "OC99",
    "realmDomainComponent": "Example-Cloud.com",
    "regionKey": "XYZ",
    "regionIdentifier": "eu-Example-1",
}
EXAMPLE = Region("eu-example-1", "xyz", "oc99", "example-cloud.com")


def test_the_table_is_that_of_the_official_sdk() -> None:
    codes = {region: code for code, region in official.REGIONS_SHORT_NAMES.items()}

    ours = {region.identifier: (region.key, region.realm, region.domain) for region in REGIONS}

    assert ours == {
        region: (codes[region], realm, official.REALMS[realm]) for region, realm in official.REGION_REALMS.items()
    }


def test_the_table_holds_each_region_once() -> None:
    assert (len(REGIONS), len({region.identifier for region in REGIONS})) == (85, 85)
    assert len({region.key for region in REGIONS}) == 85
    assert len({region.realm for region in REGIONS}) == 20


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.identifier)
def test_every_region_is_found_by_its_code_and_by_its_name_wherever_it_stands(region: Region) -> None:
    expected = f"https://aidp.{region.identifier}.oci.{region.domain}"
    ocid = f"ocid1.aidataplatform.{region.realm}"

    urls = {
        base_url(f"{ocid}.{region.key}.aaaa"),
        base_url(f"{ocid}.{region.identifier}.aaaa"),
        base_url(f"{ocid}..aaaa", region=region.key.upper()),
        base_url(f"{ocid}..aaaa", region=region.identifier),
        base_url(f"{ocid}..aaaa", default_region=region.key),
    }

    assert urls == {expected}


class TestPrecedence:
    def test_an_endpoint_decides_alone(self) -> None:
        assert base_url(ASHBURN, region="phx", endpoint="https://h", default_region="fra") == "https://h"

    def test_a_region_beats_that_of_the_ocid(self) -> None:
        url = base_url(ASHBURN, region="phx", default_region="fra")

        assert url == "https://aidp.us-phoenix-1.oci.oraclecloud.com"

    def test_the_region_of_the_ocid_beats_the_default(self) -> None:
        assert base_url(ASHBURN, default_region="fra") == "https://aidp.us-ashburn-1.oci.oraclecloud.com"

    def test_the_default_counts_for_an_ocid_without_a_region(self) -> None:
        assert base_url(NOWHERE, default_region="fra") == "https://aidp.eu-frankfurt-1.oci.oraclecloud.com"

    def test_a_region_in_the_environment_beats_the_table(self) -> None:
        moved = Region("us-ashburn-1", "iad", "oc1", "example.com")

        assert base_url(ASHBURN, extra_regions=[moved]) == "https://aidp.us-ashburn-1.oci.example.com"


class TestUnknownRegion:
    def test_a_region_that_is_not_in_the_table_gets_the_realm_of_the_ocid(self) -> None:
        url = base_url("ocid1.aidataplatform.oc19.eu-madrid-9.aaaa")

        assert url == "https://aidp.eu-madrid-9.oci.oraclecloud.eu"

    def test_a_realm_may_be_known_from_the_environment_only(self) -> None:
        url = base_url("ocid1.aidataplatform.oc99.eu-example-2.aaaa", extra_regions=[EXAMPLE])

        assert url == "https://aidp.eu-example-2.oci.example-cloud.com"

    @pytest.mark.parametrize(
        ("platform_id", "region", "realm"),
        [
            ("ocid1.aidataplatform.oc99.eu-example-1.aaaa", "eu-example-1", "oc99"),
            ("ocid1.aidataplatform.oc1.zzz.aaaa", "zzz", "oc1"),
        ],
        ids=["unknown realm", "unknown code"],
    )
    def test_without_a_domain_the_error_names_the_remedy(self, platform_id: str, region: str, realm: str) -> None:
        with pytest.raises(ConfigError) as caught:
            base_url(platform_id)

        assert str(caught.value) == (
            f"region {region!r} of realm {realm!r} is not known; describe it in OCI_REGION_METADATA, or pass endpoint="
        )

    def test_without_any_region_the_error_names_the_remedies(self) -> None:
        with pytest.raises(ConfigError) as caught:
            base_url(NOWHERE)

        assert str(caught.value) == (
            f"no region: {NOWHERE!r} names none; pass region= or endpoint=, set OCI_REGION, "
            "or add region to the profile"
        )


@pytest.mark.parametrize(
    "region", ["", "us ashburn", "us-ashburn-1.evil.com", "a/b", "-", "us--1", "ü", "x@y", "iad\0"]
)
def test_a_region_with_odd_characters_is_refused(region: str) -> None:
    with pytest.raises(ValueError, match="is not a region name such as 'us-ashburn-1'"):
        check_region(region)


def test_a_region_is_converted_to_lower_case() -> None:
    assert check_region(" US-Ashburn-1 ") == "us-ashburn-1"


@pytest.mark.parametrize(
    "platform_id",
    [
        "ocid1.aidataplatform.oc1.iad.aaaa",
        "ocid1.dataLake.oc1..AbC_9-",
        "ocid1.aidataplatform.oc1.us-ashburn-1.future.aaaa",
    ],
)
def test_an_ocid_is_returned_as_it_is(platform_id: str) -> None:
    assert check_platform_id(platform_id) == platform_id


@pytest.mark.parametrize(
    "platform_id",
    [
        "",
        "my platform",
        "ocid1.aidataplatform.oc1.iad",
        "ocid2.a.oc1..b",
        f" {ASHBURN}",
        f"{ASHBURN}\n",
        "ocid1.a.oc1../b",
    ],
)
def test_a_malformed_ocid_is_refused_by_name(platform_id: str) -> None:
    for check in (check_platform_id, base_url):
        with pytest.raises(ValueError) as caught:
            check(platform_id)

        assert str(caught.value) == (
            f"platform_id {platform_id!r} is not an OCID; copy the one of the AI Data Platform instance, "
            "which looks like 'ocid1.aidataplatform.oc1.iad.…'"
        )


@pytest.mark.parametrize(
    ("check", "name"), [(check_platform_id, "platform_id"), (check_region, "region"), (check_endpoint, "endpoint")]
)
def test_a_wrong_type_is_named(check: object, name: str) -> None:
    assert callable(check)
    with pytest.raises(TypeError, match=f"^{name} must be a string, not NoneType$"):
        check(None)


LONGEST = f"https://{'.'.join(['a' * 63] * 3)}.{'a' * 61}"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://datalake.us-ashburn-1.oci.oraclecloud.com", "https://datalake.us-ashburn-1.oci.oraclecloud.com"),
        ("https://Host.Example/", "https://host.example"),
        ("HTTPS://h:443", "https://h"),
        ("https://h:8443/api//", "https://h:8443/api"),
        ("https://h:80/a/b%2Fc", "https://h:80/a/b%2Fc"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://127.9.9.9:443", "http://127.9.9.9:443"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("https://h:", "https://h"),
        (f"https://{'a' * 63}.b", f"https://{'a' * 63}.b"),
        (LONGEST, LONGEST),
    ],
)
def test_an_endpoint_is_returned_as_it_is_signed_and_sent(endpoint: str, expected: str) -> None:
    assert check_endpoint(endpoint) == expected


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("host.example", "'host.example' has no scheme; did you mean 'https://host.example'?"),
        ("h:8443/api", "'h:8443/api' has no scheme; did you mean 'https://h:8443/api'?"),
        ("", "'' has no scheme; did you mean 'https://'?"),
        ("http://host.example", "must use https; http is for loopback addresses"),
        ("http://128.0.0.1", "must use https"),
        ("http://localhost.example", "must use https"),
        ("http://[::2]", "must use https"),
        ("ftp://localhost", "must use https"),
        ("https://", "is not a URL: '' is not a host name or an address"),
        ("https://a b", "is not a URL: 'a b' is not a host name"),
        ("https://ü.example", "is not a URL: 'ü.example' is not a host name"),
        ("https://a..b", "is not a URL: 'a..b' is not a host name"),
        (f"https://{'a' * 64}.b", "is not a host name or an address"),
        (f"https://b.{'a' * 64}:8443/x", "is not a host name or an address"),
        ("https://a.", "is not a host name or an address"),
        ("https://.a", "is not a host name or an address"),
        (f"https://{'.'.join(['a' * 50] * 6)}", "is not a host name or an address"),
        (f"https://{'.'.join(['a' * 63] * 3)}.{'a' * 62}", "is not a host name or an address"),
        ("https://[::1", "is not a URL: "),
        ("https://[fe80::1%25eth0]", "is not a URL: "),
        ("https://[::g]", "is not a URL: "),
        ("https://h:65536", "is not a URL: "),
        ("https://h:x", "is not a URL: "),
        ("https://h:0", "is not a plain URL"),
        ("https://h/a b", "is not a plain URL"),
        ("https://h/a\nb", "is not a plain URL"),
        ("https://h/ü", "is not a plain URL"),
        ("https://h/%zz", "is not a plain URL"),
        ("https://h/a/../b", "is not a plain URL"),
        ("https://h/.", "is not a plain URL"),
        (" https://h", "is not a plain URL"),
        ("https://h\\x/", "is not a URL: "),
        ("https://h\\@x/", "must not contain a user name or password"),
        ("https://h?token=canary", "must not contain a query or a fragment"),
        ("https://h#canary", "must not contain a query or a fragment"),
        ("https://h/?", "must not contain a query or a fragment"),
        ("https://canary@h", "must not contain a user name or password"),
        ("https://u:canary@h:80/x", "must not contain a user name or password"),
        ("u:canary@h", "must not contain a user name or password"),
        ("https://u:canary/x@h", "is not a URL, or contains a user name and password"),
        ("https://u:canary#x@h", "must not contain a user name or password"),
        ("https://u:canary[x@h", "must not contain a user name or password"),
        ("https://u:canary@h:port", "must not contain a user name or password"),
    ],
)
def test_an_endpoint_that_is_not_the_url_of_a_host_is_refused(endpoint: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_endpoint(endpoint)

    assert problem in str(caught.value)
    assert "canary" not in str(caught.value)


hosts = st.one_of(
    st.from_regex(r"[a-zA-Z0-9_-]{1,8}(\.[a-zA-Z0-9_-]{1,8}){0,3}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]"),
)


@given(host=hosts, port=st.one_of(st.none(), st.integers(1, 65535)), path=st.from_regex(r"(/[\w.~%]{0,4}){0,3}"))
def test_an_accepted_endpoint_is_sent_unchanged_and_accepted_again(host: str, port: int | None, path: str) -> None:
    try:
        endpoint = check_endpoint(f"https://{host}{'' if port is None else f':{port}'}{path}")
    except ValueError:
        return

    url = URL(f"{endpoint}/20260430/x", encoded=True)
    assert endpoint == f"https://{url.host_port_subcomponent}{url.raw_path_qs.removesuffix('/20260430/x')}"
    assert check_endpoint(endpoint) == endpoint


@given(text=st.text())
def test_only_a_url_is_accepted_as_an_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"^endpoint "):
        check_endpoint(f"https://{text}?")


def test_region_metadata_is_read_in_lower_case() -> None:
    assert parse_region_metadata(json.dumps(METADATA), "OCI_REGION_METADATA") == EXAMPLE


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000])
def test_region_metadata_must_be_an_object(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_region_metadata(text, "OCI_REGION_METADATA")

    assert str(caught.value) == (
        "OCI_REGION_METADATA must be one JSON object with the keys "
        "regionIdentifier, regionKey, realmKey, realmDomainComponent"
    )


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("value", [None, "", " ", 5, "a/b", ["x"]])
def test_each_part_of_region_metadata_is_checked(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_region_metadata(json.dumps({**METADATA, name: value}), "OCI_REGION_METADATA")

    assert str(caught.value) == (
        f"OCI_REGION_METADATA: {name} is {value!r}; it must be a string such as those of us-ashburn-1"
    )


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("us-ashbrn-1", "us-ashburn-1"),
        ("us-ahsburn-1", "us-ashburn-1"),
        ("eu-frankfrt-1", "eu-frankfurt-1"),
        ("us-phenix-2", "us-phoenix-1"),
        ("us-ashburn-9", None),
        ("ap-kyoto-1", None),
        ("us-langely-1", None),
        ("us-ashburn-1", None),
    ],
)
def test_a_region_that_is_not_known_but_like_one_of_its_realm_is_a_warning(
    caplog: pytest.LogCaptureFixture, name: str, similar: str | None
) -> None:
    url = base_url("ocid1.aidataplatform.oc1..a", region=name)

    assert url == f"https://aidp.{name}.oci.oraclecloud.com"
    expected = [] if similar is None else [f"{name!r} is not a known region; did you mean {similar!r}?"]
    assert [record.getMessage() for record in caplog.records] == expected


def test_the_region_of_a_url_is_that_which_made_it() -> None:
    assert {region_of(base_url("ocid1.aidataplatform.oc1..a", region=each.key)) for each in REGIONS} == {
        each.identifier for each in REGIONS
    }
    assert region_of("https://aidp.example.com") is None
    assert region_of("http://127.0.0.1:8080") is None
