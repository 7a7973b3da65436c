"""One attempt at a webhook on the wire; the only place of the services that speaks HTTP as a client."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import httpx

from metseg_api.errors import WebhookRefusedError
from metseg_api.webhooks.deliveries import Outcome
from metseg_api.webhooks.targets import Target, Targets

ATTEMPT_S = 10.0
"""For all of an attempt, from the look-up of the name to the receiver's status."""


@dataclass(frozen=True)
class Answer:
    """What came of an attempt; `status` is the receiver's, where it answered."""

    outcome: Outcome
    status: int | None = None


class Sender:
    """Sends to where `Targets` lets it; certificates are checked against the system's (or `SSL_CERT_FILE`)."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._tls = ssl.create_default_context()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a body, follow no redirect, and read no more of the answer than its status."""
        try:
            with anyio.fail_after(ATTEMPT_S):
                status = await self._post(url, headers, body)
        except (WebhookRefusedError, httpx.InvalidURL, UnicodeError):
            return Answer(Outcome.ADDRESS_REFUSED)
        except socket.gaierror:
            return Answer(Outcome.NAME_UNKNOWN)
        except (TimeoutError, httpx.TimeoutException):
            return Answer(Outcome.TIMEOUT)
        except (httpx.TransportError, OSError):
            return Answer(Outcome.UNREACHABLE)
        return Answer(Outcome.DELIVERED if 200 <= status < 300 else Outcome.BAD_STATUS, status)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        target = self._targets.parse(url)
        refused: httpx.ConnectError | None = None
        for address in await self._targets.addresses(target):
            try:
                return await self._post_to(target, address, headers, body)
            except httpx.ConnectError as exc:  # nothing was sent; another of its addresses may answer
                refused = exc
        raise refused or httpx.ConnectError("the name has no address")

    async def _post_to(self, target: Target, address: str, headers: Mapping[str, str], body: bytes) -> int:
        """Connect to that very address, and speak to the host that was named."""
        url = httpx.URL(scheme=target.scheme, host=address, port=target.port, raw_path=target.path.encode("ascii"))
        # A client of its own: a connection is not to be used again for another name with the same address.
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=ATTEMPT_S) as client:
            request = client.build_request(
                "POST",
                url,
                headers={**headers, "Host": target.host_header, "User-Agent": "metseg-webhook"},
                content=body,
                extensions={"sni_hostname": target.host},
            )
            answer = await client.send(request, stream=True, follow_redirects=False)
            await answer.aclose()
            return answer.status_code
