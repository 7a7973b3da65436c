"""Where a webhook may go: by https to a public address, or to a host that the settings allow by name.

A sender chooses the address, and this process stands inside the network: without a check it could be sent to
whatever listens there (server-side request forgery). The name is looked up once for each attempt and what was
looked up is connected to, so that a name which changes its mind in between (DNS rebinding) leads nowhere.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import anyio

from metseg_api.errors import WebhookRefusedError

LOOKUP_S = 5.0

_SIGNS = re.compile(r"[!#-;=?-Z\[\]_a-z~]+")  # those of RFC 3986: no blank, no backslash, no quote
_DEFAULT_PORTS = {"https": 443, "http": 80}
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_INSIDE_ALL_THE_SAME = (
    ip_network("192.0.0.0/24"),  # RFC 6890; older Pythons know parts of it only
    ip_network("168.63.129.16/32"),  # public in form, but what answers is the host of a machine in Azure
)

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""From a host and a port to addresses; raises `socket.gaierror` for a name that has none."""


@dataclass(frozen=True)
class Target:
    """A webhook's address, taken apart.

    Attributes:
        host: A name in small letters, or an address without brackets.
        path: Path and query, as they came.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system looks them up."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class Targets:
    """Tells good addresses from bad ones.

    Args:
        allowed_hosts: Hosts that may have any address, and may be spoken to without TLS.
        resolver: Looks names up.
    """

    def __init__(self, allowed_hosts: Collection[str], resolver: Resolver = resolve) -> None:
        self._allowed = frozenset(allowed_hosts)
        self._resolver = resolver

    def parse(self, url: str) -> Target:
        """Take an address apart.

        Raises:
            WebhookRefusedError: It is no plain https address, and none of a host that is allowed by name.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise WebhookRefusedError(_MALFORMED) from None
        host = parts.hostname
        if not _SIGNS.fullmatch(url) or not host or port == 0 or parts.scheme not in _DEFAULT_PORTS:
            raise WebhookRefusedError(_MALFORMED)
        if "@" in parts.netloc or "#" in url:
            raise WebhookRefusedError("The address in webhook_url may have neither a user nor a fragment.")
        if parts.scheme == "http" and host not in self._allowed:
            raise WebhookRefusedError("The address in webhook_url must begin with https://.")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path)

    async def addresses(self, target: Target) -> list[str]:
        """The addresses of a target, every one of which may be connected to.

        Raises:
            WebhookRefusedError: One of them is not public.
            socket.gaierror: The name has none, or nobody can tell now.
        """
        try:
            found = await self._resolver(target.host, target.port)
        except UnicodeError as exc:  # a label that is too long
            raise socket.gaierror(socket.EAI_NONAME, "no name") from exc
        if target.host not in self._allowed and not all(map(is_public, found)):
            raise WebhookRefusedError(_NOT_PUBLIC)
        return found

    async def check(self, url: str) -> None:
        """Make sure that a webhook may go there, as far as can be told now.

        Raises:
            WebhookRefusedError: It may not, or there is no such host.
        """
        target = self.parse(url)
        try:
            with anyio.move_on_after(LOOKUP_S):
                await self.addresses(target)
        except socket.gaierror as exc:
            if exc.errno != socket.EAI_AGAIN:  # the same words: who asks need not learn which names there are
                raise WebhookRefusedError(_NOT_PUBLIC) from None


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet, also where it is wrapped into another one."""
    address = _innermost(ip_address(text))
    if isinstance(address, IPv4Address):
        inside = address.is_multicast or any(address in network for network in _INSIDE_ALL_THE_SAME)
        return address.is_global and not inside
    return address.is_global and address in _GLOBAL_UNICAST


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address in a mapped, 6to4, Teredo or NAT64 one; any other address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


_MALFORMED = "The address in webhook_url must be a plain one, such as https://example.org/metseg."
_NOT_PUBLIC = "The host of webhook_url has no public address, and is not one that METSEG_WEBHOOK_HOSTS allows."
