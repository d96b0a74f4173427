"""Signatures equal the published samples and those of the official SDK, byte for byte; bad keys are named."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from oci._vendor import requests
from oci.signer import Signer as OciSigner

from aidp_sessions.auth.keys import PrivateKey
from aidp_sessions.auth.signing import SigningRequest, SigningThreads, signed_headers, signing_string
from aidp_sessions.errors import CredentialsError
from aidp_sessions.principals.api_key import ApiKeySigner

from ..helpers.credentials import (
    DATE,
    GET,
    POST,
    TENANCY,
    USER,
    fingerprint,
    key,
    pem,
    rsa_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing-vectors.json").read_text(encoding="utf-8"))
SECRET = "correct-horse"
PEM = serialization.Encoding.PEM


def sample_key() -> str:
    numbers = VECTORS["private_numbers"]
    p, q = map(int, numbers["primes"])
    dmp1, dmq1 = map(int, numbers["crt_exponents"])
    public = rsa.RSAPublicNumbers(int(numbers["public_exponent"]), int(numbers["modulus"]))
    private = rsa.RSAPrivateNumbers(
        p, q, int(numbers["private_exponent"]), dmp1, dmq1, int(numbers["crt_coefficient"]), public
    )
    formats = serialization.PrivateFormat
    return private.private_key().private_bytes(PEM, formats.PKCS8, serialization.NoEncryption()).decode()


def sample_signer() -> ApiKeySigner:
    return ApiKeySigner(
        tenancy=VECTORS["tenancy"],
        user=VECTORS["user"],
        fingerprint=VECTORS["printed_fingerprint"],
        private_key=sample_key(),
        verify_fingerprint=False,
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
async def test_the_published_samples_are_reproduced_byte_for_byte(case: dict[str, Any]) -> None:
    request = SigningRequest(case["method"], case["host"], case["target"], VECTORS["date"], case["body"].encode())
    names = "date (request-target) host"
    if case["method"] == "POST":
        names += " content-length content-type x-content-sha256"

    headers = await sample_signer().sign(request)

    key_id = f"{VECTORS['tenancy']}/{VECTORS['user']}/{VECTORS['printed_fingerprint']}"
    assert headers["authorization"] == (
        f'Signature algorithm="rsa-sha256",headers="{names}",keyId="{key_id}",'
        f'signature="{case["signature"]}",version="1"'
    )


def test_the_fingerprint_is_the_md5_of_the_public_key() -> None:
    assert PrivateKey.load(sample_key()).fingerprint == VECTORS["own_fingerprint"]


def test_the_signing_string_has_one_line_per_field_in_their_order() -> None:
    fields = {"date": "d", "(request-target)": "delete /a?b=%2F", "host": "h:8443", "opc-obo-token": "t"}

    assert signing_string(fields) == "date: d\n(request-target): delete /a?b=%2F\nhost: h:8443\nopc-obo-token: t"


def test_a_get_carries_no_body_headers() -> None:
    assert set(signed_headers(GET, key(), "k")) == {"date", "host", "authorization"}


def test_a_body_is_signed_by_its_length_type_and_hash() -> None:
    headers = signed_headers(POST, key(), "k")

    assert {name: headers[name] for name in ("content-length", "content-type", "x-content-sha256")} == {
        "content-length": "8",
        "content-type": "application/json",
        "x-content-sha256": "+dhgKMbg1k4iUYb5astpM4ssWXZN95FiEH9cS7NNExA=",
    }


def test_extra_headers_are_sent_and_signed() -> None:
    headers = signed_headers(GET, key(), "k", {"opc-obo-token": "delegated"})

    assert headers["opc-obo-token"] == "delegated"
    assert 'headers="date (request-target) host opc-obo-token"' in headers["authorization"]


@pytest.mark.parametrize("method", ["OPTIONS", "get", ""])
def test_an_unknown_method_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=f"cannot sign method '{method}'; use one of DELETE, GET"):
        signed_headers(SigningRequest(method, "h", "/", DATE), key(), "k")


@functools.cache
def official_signer() -> OciSigner:
    return OciSigner(TENANCY, USER, fingerprint(), None, private_key_content=pem())


segments = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text not in {".", ".."})
targets = st.builds(
    lambda workspace, path, cluster: (
        f"/20260430/aiDataPlatforms/ocid1.aidataplatform.oc1.iad.x/workspaces/{quote(workspace, safe='')}"
        f"/notebook/api/sessions?path={quote(path, safe='')}&cluster_id={quote(cluster, safe='')}"
    ),
    segments,
    segments,
    segments,
)
hosts = st.builds(
    lambda name, port: name + port,
    st.sampled_from(["aidp.us-ashburn-1.oci.oraclecloud.com", "127.0.0.1", "[::1]"]),
    st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format)),
)


@given(
    method=st.sampled_from(["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"]),
    host=hosts,
    target=targets,
    body=st.binary(max_size=64),
    date=st.sampled_from([DATE, "Mon, 01 Jan 2035 00:00:00 GMT"]),
)
def test_authorization_is_byte_identical_to_that_of_the_official_sdk(
    method: str, host: str, target: str, body: bytes, date: str
) -> None:
    with_body = method in {"POST", "PUT", "PATCH"}
    prepared = requests.Request(
        method, f"https://{host}{target}", headers={"date": date}, data=body if with_body else None
    ).prepare()
    official = official_signer()(prepared)

    ours = signed_headers(SigningRequest(method, host, target, date, body), key(), official_signer().api_key)

    assert ours["authorization"] == official.headers["authorization"]
    assert ours == {name: official.headers[name] for name in ours}


def test_the_key_id_is_that_of_the_official_sdk() -> None:
    assert official_signer().api_key == f"{TENANCY}/{USER}/{fingerprint()}"


@pytest.mark.parametrize("pkcs1", [True, False], ids=["PKCS#1", "PKCS#8"])
@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: f"{text}OCI_API_KEY\n",
        lambda text: f"\n \n{text}OCI_API_KEY",
        lambda text: text.replace("\n", "\r\n"),
        str.encode,
    ],
    ids=["as written", "labelled", "blank lines before, label without line end", "CRLF", "bytes"],
)
def test_every_usual_form_of_a_key_loads(change: Callable[[str], str | bytes], secret: str | None, pkcs1: bool) -> None:
    loaded = PrivateKey.load(change(pem(0, secret, pkcs1=pkcs1)), secret)

    assert loaded.fingerprint == fingerprint()


def test_a_passphrase_for_a_key_that_needs_none_is_ignored() -> None:
    assert PrivateKey.load(pem(), SECRET).fingerprint == fingerprint()


@pytest.mark.parametrize("line_end", [r"\n", r"\r\n", "\r\n", " "])
@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("pkcs1", [False, True])
def test_a_key_from_a_variable_may_have_other_line_ends_and_quotes(line_end: str, quote: str, pkcs1: bool) -> None:
    text = quote + pem(0, pkcs1=pkcs1).replace("\n", line_end) + quote

    assert PrivateKey.load(text).fingerprint == fingerprint()


@pytest.mark.parametrize("pkcs1", [False, True])
def test_an_encrypted_key_may_have_escaped_line_ends(pkcs1: bool) -> None:
    text = pem(0, SECRET, pkcs1=pkcs1).replace("\n", r"\n")

    assert PrivateKey.load(text, SECRET).fingerprint == fingerprint()


async def test_where_no_thread_can_be_started_a_long_key_is_a_credentials_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(CredentialsError, match=r"^no thread can be started: can't start new thread$"):
        await SigningThreads().sign(GET, PrivateKey.generate(3072), "key id")


def public_pem() -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return rsa_key().public_key().public_bytes(PEM, form).decode()


def openssh_pem() -> str:
    return rsa_key().private_bytes(PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()).decode()


def ec_pem() -> str:
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def damaged_pem() -> str:
    lines = pem().splitlines()
    del lines[5]
    return "\n".join(lines)


NEEDED = "; the RSA private key itself is needed, in PEM form"
FAILURES: dict[str, tuple[str | bytes, str | None, str]] = {
    "empty": ("", None, f"the key is empty{NEEDED}"),
    "only white space": (" \n", None, f"the key is empty{NEEDED}"),
    "garbage": ("hunter2", None, f"the key is not a PEM private key{NEEDED}"),
    "binary": (b"\x30\x82\xff", None, f"the key is not a PEM private key{NEEDED}"),
    "public key": (public_pem(), None, f"the key is a public key{NEEDED}"),
    "ssh public key": ("ssh-rsa AAAA me@here", None, f"the key is a public key{NEEDED}"),
    "certificate": (
        "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----",
        None,
        f"the key is a certificate{NEEDED}",
    ),
    "OpenSSH": (
        openssh_pem(),
        None,
        f"the key is in OpenSSH's own format (`ssh-keygen -p -m PEM -f <file>` converts it){NEEDED}",
    ),
    "passphrase missing": (pem(0, SECRET), None, "the key is encrypted and no passphrase was given; set pass_phrase"),
    "passphrase empty": (pem(0, SECRET), "", "the key is encrypted and no passphrase was given; set pass_phrase"),
    "passphrase wrong": (
        pem(0, SECRET),
        "wrong",
        "the key cannot be read: the passphrase is wrong, or the key is damaged",
    ),
    "passphrase wrong, PKCS#1": (
        pem(0, SECRET, pkcs1=True),
        "wrong",
        "the key cannot be read: the passphrase is wrong, or the key is damaged",
    ),
    "damaged": (damaged_pem(), None, "the key cannot be read: the key is damaged"),
    "elliptic curve": (ec_pem(), None, "the key is not an RSA key; OCI signs requests with RSA keys only"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_an_unusable_key_is_named_for_what_it_is(case: str) -> None:
    content, secret, message = FAILURES[case]

    with pytest.raises(CredentialsError) as caught:
        PrivateKey.load(content, secret, source="the key")

    assert str(caught.value) == message


def test_a_passphrase_that_is_not_unicode_stays_out_of_the_error() -> None:
    with pytest.raises(CredentialsError) as caught:
        PrivateKey.load(pem(0, SECRET), "hunter2\udcff")

    assert "hunter2" not in repr(caught.value)


def test_a_key_shows_its_size_only_and_is_not_pickled() -> None:
    assert repr(key()) == "<PrivateKey RSA-2048>"
    with pytest.raises(TypeError, match="holds a private key and cannot be pickled"):
        pickle.dumps(key())


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
def test_a_key_that_was_generated_here_survives_being_written_and_read(secret: str | None) -> None:
    generated = PrivateKey.generate(1024)

    assert PrivateKey.load(generated.to_pem(secret), secret).fingerprint == generated.fingerprint


def test_a_signature_verifies_only_over_what_was_signed() -> None:
    signature = key().sign(b"a")

    assert (key().verifies(signature, b"a"), key().verifies(signature, b"b")) == (True, False)


def test_neither_the_oci_package_nor_requests_is_imported() -> None:
    modules = "aidp_sessions.principals.settings, aidp_sessions.principals.oci_adapter"
    code = f"import sys, {modules}; sys.exit(bool({{'oci', 'requests'}} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
