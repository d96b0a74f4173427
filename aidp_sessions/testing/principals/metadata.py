"""The metadata service of a compute instance, version 2, on loopback.

Source: "Getting Instance Metadata" of the OCI documentation.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from ...endpoints import REGIONS
from .._service import identity
from .._service.responses import HttpError, StubResponse
from .credentials import Authority
from .server import AuthServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .server import RecordedAuthRequest

_PREFIX = "/opc/v2"
_INSTANCE = "ocid1.instance.oc1.iad.localinstance"


class LocalMetadata(AuthServer):
    """Serves an instance's certificate, key and region: ``async with LocalMetadata() as metadata: …``

    Point signers to it with ``OCI_METADATA_BASE_URL`` or ``metadata_url``. It refuses requests without
    ``Authorization: Bearer Oracle``, and those that came through a proxy.

    Args:
        tenancy: OCID of the instance's tenancy.
        region: its name; instances report the short code, if there is one.
        clock: seconds since the epoch.

    Attributes:
        contents: the bodies by path, such as ``/identity/cert.pem``; change them to make something wrong.
        requests: what was received, oldest first.
    """

    def __init__(
        self, *, tenancy: str = identity.TENANCY, region: str = "us-ashburn-1", clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(clock=clock)
        self.tenancy = tenancy
        self.contents: dict[str, bytes] = _region(region)
        self._authority = Authority("Local Identity Intermediate")
        self._generation = 0
        self.rotate()

    @property
    def url(self) -> str:
        return f"{self.origin}{_PREFIX}"

    def rotate(self) -> None:
        """Give the instance a new certificate and key."""
        self._generation += 1
        units = ["opc-certtype:instance", f"opc-instance:{_INSTANCE}", f"opc-tenant:{self.tenancy}"]
        leaf = self._authority.issue(f"{_INSTANCE}.{self._generation}", units)
        self.contents["/identity/cert.pem"] = leaf.pem.encode()
        self.contents["/identity/key.pem"] = leaf.key_pem.encode()
        self.contents["/identity/intermediate.pem"] = self._authority.issued.pem.encode()

    def _answer(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> StubResponse:
        if any(name == "forwarded" or name.startswith("x-forwarded-") for name in headers):
            raise HttpError(403, "Requests through a proxy are refused.")
        if headers.get("authorization") != "Bearer Oracle":
            raise HttpError(401, "The header Authorization: Bearer Oracle is missing.")
        if request.method != "GET":
            raise HttpError(405)
        content = self.contents.get(request.target.removeprefix(_PREFIX))
        if content is None or not request.target.startswith(_PREFIX):
            raise HttpError(404)
        return StubResponse(200, content, {"content-type": "text/plain"})


def _region(name: str) -> dict[str, bytes]:
    found = next((region for region in REGIONS if region.identifier == name), None)
    key, realm = (found.key, found.realm) if found else ("loc", "oc99")
    info = {
        "realmDomainComponent": found.domain if found else "local.invalid",
        "realmKey": realm,
        "regionIdentifier": name,
        "regionKey": key.upper(),
    }
    return {
        "/instance/id": _INSTANCE.encode(),
        "/instance/region": (key if found else name).encode(),
        "/instance/regionInfo": json.dumps(info).encode(),
    }
