"""Whom the peers ask and as whom: plain values that fit into one JSON argument. Holds a key made for one run."""

from __future__ import annotations

import attrs

from aidp_sessions import ApiKeySigner
from aidp_sessions.auth.signing import PrivateKey

TENANCY = "ocid1.tenancy.oc1..aaaabenchmark"
USER = "ocid1.user.oc1..aaaabenchmark"


@attrs.frozen
class Target:
    """The service's URL and the key to sign with."""

    url: str
    pem: str = attrs.field(repr=False)
    fingerprint: str

    @classmethod
    def of(cls, url: str, bits: int = 2048) -> Target:
        key = PrivateKey.generate(bits)
        return cls(url, key.to_pem(), key.fingerprint)

    @property
    def key_id(self) -> str:
        return f"{TENANCY}/{USER}/{self.fingerprint}"

    def signer(self) -> ApiKeySigner:
        return ApiKeySigner(tenancy=TENANCY, user=USER, fingerprint=self.fingerprint, private_key=self.pem)

    def oci_config(self) -> dict[str, str]:
        return {
            "tenancy": TENANCY,
            "user": USER,
            "fingerprint": self.fingerprint,
            "key_content": self.pem,
            "region": "us-ashburn-1",
        }
