"""Who may reach the gateway at all: names it is called by, web pages that may read its answers.

Without keys the port is the only door, and a web browser on the same machine walks through it for any page: by a
plain request (another `Origin`), or under a name that an attacker resolves to this address (another `Host`). So an
open gateway answers only under names that nobody else can own, and no page of another site. Where keys are needed
they are the door. Pages of `server.cors_origins` may call it from browsers, with a key where one is needed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from hapenny.admission.own_names import own_name
from hapenny.core.errors import Failure
from hapenny.server.transport.messages import Request, Response

_EXPOSED = (
    "x-request-id, request-id, x-amzn-requestid, x-amzn-errortype, retry-after, retry-after-ms, age, cache-status, "
    "server-timing, x-hapenny-route, x-hapenny-model, x-hapenny-cost, x-hapenny-saved, x-hapenny-notes"
)
_METHODS = "GET, HEAD, POST, DELETE"
_PREFLIGHT_S = "600"
_REMEMBERED = 64


class Perimeter:
    """The rules of one configuration.

    Args:
        open_: whether no key is needed.
        hosts: names an open gateway may be called by, besides addresses and names without a dot.
        origins: sites whose pages may call; `*` is all of them.
        metrics_from: addresses and networks that may read metrics without a key.

    Raises:
        ValueError: one of `metrics_from` is no address.
    """

    def __init__(
        self, open_: bool, hosts: Sequence[str] = (), origins: Sequence[str] = (), metrics_from: Sequence[str] = ()
    ) -> None:
        self._open = open_
        self._seen: set[str] = set()
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._metrics = [ipaddress.ip_network(each, strict=False) for each in metrics_from]

    def check(self, request: Request) -> None:
        """Lets the request pass.

        Raises:
            Failure: `permission`, for one that came under a foreign name or from a foreign page.
        """
        if not self._open:
            return
        host = dict.get(request.headers, "host", "")
        if host and host not in self._seen and not self._ours(host):
            raise Failure(
                "permission",
                "this gateway needs no key, so it answers under its own names alone",
                fix="add the name to server.hosts, or configure keys",
            )
        origin = dict.get(request.headers, "origin")
        if origin is not None and not self.allows(origin) and origin.lower().partition("://")[2] != host.lower():
            raise Failure(
                "permission",
                "this gateway needs no key, so pages of other sites may not use it",
                fix="add the site to server.cors_origins, or configure keys",
            )

    def allows(self, origin: str) -> bool:
        """Whether pages of `origin` may call."""
        return "*" in self._origins or origin.lower() in self._origins

    def metrics(self, peer: str) -> bool:
        """Whether metrics may be read from the address `peer` without a key."""
        if not self._metrics:
            return False
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._metrics)

    def preflight(self, request: Request) -> Response:
        """The answer to a browser that asks whether it may send a request (CORS). It carries no key.

        Raises:
            Failure: `permission`, where it may not.
        """
        origin = request.headers.get("origin", "")
        if not self.allows(origin):
            raise Failure("permission", "pages of this site may not call", fix="add it to server.cors_origins")
        asked = request.headers.get("access-control-request-headers", "authorization, content-type, x-api-key")
        headers = {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": _METHODS,
            "access-control-allow-headers": asked,
            "access-control-max-age": _PREFLIGHT_S,
            "vary": "origin, access-control-request-headers",
        }
        return Response(status=204, headers=headers)

    def shared(self, request: Request, response: Response) -> None:
        """Lets a browser hand the answer to the page that asked, where its site may call."""
        origin = dict.get(request.headers, "origin")
        if origin is not None and self.allows(origin):
            headers = response.headers
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _EXPOSED
            headers["vary"] = "origin"

    def _ours(self, host: str) -> bool:
        """Whether the name is one that nobody else can own. Those that are get remembered: there are few."""
        ours = own_name(host, self._hosts)
        if ours and len(self._seen) < _REMEMBERED:
            self._seen.add(host)
        return ours


def beyond_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from other machines."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
