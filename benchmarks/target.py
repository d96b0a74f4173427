"""The service that the peers ask, and their credentials, as one JSON argument. The key is made for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from aidp_sessions import ApiKeySigner
from aidp_sessions.auth.keys import PrivateKey

if TYPE_CHECKING:
    from pathlib import Path

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

    def write_config(self, folder: Path) -> str:
        """Write a profile as the OCI tools keep it, with its key beside it; give its path."""
        values, key_file, config_file = self.oci_config(), folder / "key.pem", folder / "config"
        key_file.write_text(values.pop("key_content"))
        key_file.chmod(0o600)
        lines = [f"{name}={value}" for name, value in {**values, "key_file": str(key_file)}.items()]
        config_file.write_text("\n".join(["[DEFAULT]", *lines, ""]))
        config_file.chmod(0o600)
        return str(config_file)
