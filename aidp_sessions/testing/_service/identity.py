"""The user of a local service: one key pair per process, in every form that clients read."""

from __future__ import annotations

import functools
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...auth.keys import PrivateKey
from ...principals.api_key import ApiKeySigner

if TYPE_CHECKING:
    import os

TENANCY: Final = "ocid1.tenancy.oc1..aaaaaaaalocalservicefortestsandnothingelse4q7c2m5x3yzd6wkb"
USER: Final = "ocid1.user.oc1..aaaaaaaalocalservicefortestsandnothingelse7h3n6vjr5pte2gqa"


@functools.cache
def private_key() -> PrivateKey:
    """Generated once per process: it takes a tenth of a second, and protects nothing."""
    return PrivateKey.generate()


def key_id() -> str:
    return f"{TENANCY}/{USER}/{private_key().fingerprint}"


def signer() -> ApiKeySigner:
    key = private_key()
    return ApiKeySigner(tenancy=TENANCY, user=USER, fingerprint=key.fingerprint, private_key=key)


def oci_config(region: str) -> dict[str, str]:
    key = private_key()
    return {
        "tenancy": TENANCY,
        "user": USER,
        "fingerprint": key.fingerprint,
        "key_content": key.to_pem(),
        "region": region,
    }


def write_config(directory: str | os.PathLike[str], profile: str, region: str) -> Path:
    folder = Path(directory).resolve()
    settings = oci_config(region)
    key_file = write_private(folder / "oci_api_key.pem", settings.pop("key_content"))
    parser = ConfigParser(interpolation=None)
    parser[profile] = {**settings, "key_file": str(key_file)}
    config_file = write_private(folder / "config", "")
    with config_file.open("w", encoding="utf-8") as file:
        parser.write(file)
    return config_file


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read, as the OCI tools demand, from its first byte on."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
    return path
