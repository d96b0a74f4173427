"""A workload's signer on Kubernetes: TLS with the cluster's authority, and each file and answer that may be wrong."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from aidp_sessions import AidpError, ConfigError, CredentialsError, OkeWorkloadIdentitySigner
from aidp_sessions.testing import Fault, LocalProxymux

from ..helpers.credentials import GET, TENANCY, jwt
from ..helpers.principals import HandClock, token_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MOUNT = "mount a service account token into the pod (automountServiceAccountToken)"


@attrs.frozen
class Pod:
    clock: HandClock
    proxymux: LocalProxymux
    token: Path
    ca_file: Path

    def signer(self, **changes: Any) -> OkeWorkloadIdentitySigner:
        arguments = {
            "host": self.proxymux.host,
            "port": self.proxymux.port,
            "service_account_token_file": self.token,
            "ca_file": self.ca_file,
            "environ": {},
            "clock": self.clock.clock,
            **changes,
        }
        return OkeWorkloadIdentitySigner(**arguments)

    async def message(self, **changes: Any) -> str:
        signer = self.signer(**changes)
        with pytest.raises(AidpError) as caught:
            await signer.sign(GET)
        assert type(caught.value) in (ConfigError, CredentialsError)
        return str(caught.value)

    @property
    def url(self) -> str:
        return f"{self.proxymux.origin}/resourcePrincipalSessionTokens"


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    clock = HandClock()
    async with LocalProxymux(clock=clock) as proxymux:
        token, ca_file = proxymux.write_pod(tmp_path)
        yield Pod(clock, proxymux, token, ca_file)


async def test_each_token_is_requested_with_a_new_key_and_the_current_account_token(pod: Pod) -> None:
    signer = pod.signer()
    tokens = [token_in(await signer.sign(GET))]
    pod.clock.now += 4000
    pod.proxymux.write_pod(pod.token.parent)
    tokens.append(token_in(await signer.sign(GET)))

    first, second = pod.proxymux.requests
    assert tokens == pod.proxymux.issued
    assert first.fields["podKey"] != second.fields["podKey"]
    assert first.headers["opc-request-id"] != second.headers["opc-request-id"]
    assert len(signer.tenancy or "") > len(TENANCY)


async def test_an_account_token_may_be_given(pod: Pod) -> None:
    account = pod.proxymux.account_token()
    by_argument = pod.signer(service_account_token=account, service_account_token_file=None)
    by_variable = pod.signer(
        service_account_token_file=None, environ={"OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING": account}
    )

    tokens = [token_in(await signer.sign(GET)) for signer in (by_argument, by_variable)]

    assert tokens == pod.proxymux.issued


async def test_the_files_may_be_named_by_variables(pod: Pod) -> None:
    environ = {
        "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH": str(pod.token),
        "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH": str(pod.ca_file),
        "KUBERNETES_SERVICE_HOST": pod.proxymux.host,
    }
    signer = pod.signer(service_account_token_file=None, ca_file=None, host=None, environ=environ)

    assert token_in(await signer.sign(GET)) == pod.proxymux.issued[0]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("10.96.0.1", "https://10.96.0.1:12250/resourcePrincipalSessionTokens"),
        ("fd00::1", "https://[fd00::1]:12250/resourcePrincipalSessionTokens"),
        ("[fd00::1]", "https://[fd00::1]:12250/resourcePrincipalSessionTokens"),
    ],
)
def test_the_address_is_that_of_the_cluster_with_its_port(host: str, url: str) -> None:
    assert OkeWorkloadIdentitySigner(host=host, environ={})._url == url


def test_outside_a_pod_the_error_says_so() -> None:
    with pytest.raises(ConfigError) as caught:
        OkeWorkloadIdentitySigner(environ={})

    assert str(caught.value) == (
        "KUBERNETES_SERVICE_HOST is not set; workload identity exists in pods of OKE clusters only; "
        "elsewhere use another auth"
    )


async def test_a_cluster_that_is_not_enhanced_is_named_at_once(pod: Pod) -> None:
    pod.proxymux.enhanced = False

    assert await pod.message() == (
        f"the cluster's token service at {pod.url} answered 403 NotAuthorized: You are not allowed to perform this "
        "operation.; workload identity needs an enhanced cluster, and a policy for this workload"
    )
    assert (len(pod.proxymux.requests), pod.clock.sleeps) == (1, [])


async def test_a_certificate_of_another_authority_is_refused_before_the_token_is_sent(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = LocalProxymux(clock=pod.clock)
    other._authority = type(other._authority)("Another Cluster")
    _, ca_file = other.write_pod(tmp_path / "other")

    message = await pod.message(ca_file=ca_file)

    assert message.startswith(f"the cluster's token service cannot be reached at {pod.url}: the connection failed: ")
    assert "certificate" in message
    assert (pod.proxymux.requests, pod.clock.sleeps) == ([], [])


async def test_an_expired_account_token_is_named(pod: Pod) -> None:
    pod.clock.now += 3601

    assert await pod.message() == (
        f"service account token file {pod.token} expired at 2033-05-18 04:33:20 UTC; {MOUNT}, "
        "or check this node's clock"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("canary", "is not a JWT"),
        (jwt(sub="x"), "has no usable 'exp', the time at which it expires"),
    ],
)
async def test_a_malformed_account_token_is_named(content: str, problem: str, pod: Pod) -> None:
    pod.token.write_text(content)

    assert await pod.message() == f"service account token file {pod.token} {problem}; {MOUNT}"


async def test_missing_files_are_named(pod: Pod) -> None:
    assert await pod.message(ca_file="/none") == "the cluster's CA file /none does not exist"
    assert await pod.message(service_account_token_file="/none") == "service account token file /none does not exist"


async def test_a_ca_file_may_have_comments_in_any_language(pod: Pod) -> None:
    pod.ca_file.write_text(f"# Főtanúsítvány\n{pod.ca_file.read_text()}", encoding="utf-8")

    assert token_in(await pod.signer().sign(GET)) == pod.proxymux.issued[0]


@pytest.mark.parametrize("content", ["", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"])
async def test_a_ca_file_without_a_certificate_is_named(content: str, pod: Pod) -> None:
    pod.ca_file.write_text(content)

    assert await pod.message() == f"the cluster's CA file {pod.ca_file} holds no certificate in PEM form"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "the cluster's token service at {url} answered with something that is not base64"),
        (b'"bm8="', "the cluster's token service at {url} answered with something that is not JSON"),
        (b'"e30="', "the cluster's token service at {url} answered without a token: "),
        (json.dumps(b64encode(b'{"token":"ST$canary"}').decode()).encode(), "the token from {url} is not a JWT; "),
    ],
)
async def test_an_answer_that_holds_no_token_is_named_and_not_quoted(body: bytes, problem: str, pod: Pod) -> None:
    pod.proxymux.fail(Fault(body=body))

    message = await pod.message()

    assert message.startswith(problem.format(url=pod.url))
    assert "canary" not in message


async def test_an_answer_without_quotes_is_accepted(pod: Pod) -> None:
    inner = b64encode(json.dumps({"token": f"ST${jwt(exp=pod.clock.now + 60)}"}).encode())
    pod.proxymux.fail(Fault(body=inner))

    assert token_in(await pod.signer().sign(GET)) == jwt(exp=pod.clock.now + 60)


async def test_a_service_that_is_busy_is_asked_again(pod: Pod) -> None:
    pod.proxymux.fail(Fault(status=429, retry_after=9), Fault(status=500))

    await pod.signer().sign(GET)

    assert pod.clock.sleeps == [9.0, 2.0]


async def test_no_secret_is_shown(pod: Pod) -> None:
    signer = pod.signer()
    await signer.sign(GET)

    assert repr(signer) == "OkeWorkloadIdentitySigner(<valid until 2033-05-18 04:33:20 UTC>)"
    assert "authorization" not in pod.proxymux.requests[0].headers
    assert pod.token.read_text().strip() not in repr(pod.proxymux.requests)
