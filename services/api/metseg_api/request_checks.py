"""What a request must be before any route sees it: unambiguous, meant for this host, not from a foreign web page.

Without API keys the API cannot tell a program of this machine from a web page that a browser on it shows. Such
pages are known by what every browser says: the name that the page asked for (`Host`; DNS rebinding makes a foreign
name lead to loopback) and where the page came from (`Origin`, `Sec-Fetch-Site`). With keys this is not needed: no
page can make a browser send one.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import Scope

from metseg_api.errors import AmbiguousRequestError, HostRefusedError, OriginRefusedError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE = frozenset({"same-origin", "none"})
"""What a browser calls the page of this very server, and an address that its user typed (Fetch Metadata)."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_ENCODED_SLASH = re.compile(rb"%2f", re.IGNORECASE)


def keep_encoded_slashes(scope: Scope) -> None:
    """Let `%2F` stand in the path of a request as it came, where the server has made it a slash."""
    raw = scope.get("raw_path") or b""
    if _ENCODED_SLASH.search(raw):
        scope["path"] = unquote(_ENCODED_SLASH.sub(b"%252F", raw).decode("ascii"))


def check_framing(headers: Headers) -> None:
    """Make sure that the body has one length, for a proxy before this server, too (RFC 9112, section 6.3).

    Raises:
        AmbiguousRequestError: The request has both a Content-Length and a Transfer-Encoding.
    """
    if "Content-Length" in headers and "Transfer-Encoding" in headers:
        raise AmbiguousRequestError("The request has both a Content-Length and a Transfer-Encoding; send one.")


def check_host(headers: Headers, *, is_open: bool, allowed_hosts: Collection[str]) -> None:
    """Make sure that a request was meant for this server.

    Without keys that takes a loopback name. With keys and a list of hosts it takes one of these, or an address: a
    page can make its own name lead here, but not an address. A request without `Host` comes from no browser.

    Raises:
        HostRefusedError: It names another host.
    """
    told = headers.get("Host")
    if told is None or not (is_open or allowed_hosts):
        return
    match = _HOST.fullmatch(told)
    name = match[1].strip("[]").lower() if match else ""
    if is_open:
        if not _is_loopback(name):
            raise HostRefusedError("Without API keys this server answers to localhost and 127.0.0.1 alone.")
    elif name not in allowed_hosts and name != "localhost" and not _is_address(name):
        raise HostRefusedError(
            "This server does not answer to that host; METSEG_ALLOWED_HOSTS names those it does."
        )


def check_origin(method: str, headers: Headers) -> None:
    """Make sure that no foreign web page sent a request that may change something.

    Raises:
        OriginRefusedError: A browser says that one did.
    """
    if method in SAFE_METHODS:
        return
    own = headers.get("Host", "").lower()
    origins = [origin.lower().partition("://")[2] for origin in headers.getlist("Origin")]
    sites = headers.getlist("Sec-Fetch-Site")
    if any(origin != own for origin in origins) or not OWN_SITE.issuperset(sites):
        raise OriginRefusedError("Without API keys no web page may send, cancel or delete jobs.")


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
