"""A request as endpoints see it: who asks, of which gateway, in which dialect, with what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from hapenny.admission.keys import Identity
from hapenny.core.messages import Context
from hapenny.core.messages import Request as Asked
from hapenny.gateway.gateway import Gateway
from hapenny.server.auth import context_of
from hapenny.server.dialects import Dialect
from hapenny.server.services import Services
from hapenny.server.transport.messages import Request, Response


class Call:
    """Made once a request, when its body is there.

    Args:
        gateway: what answers, for as long as the request lasts.
        request: its head.
        body: whole.
        identity: whose key it was.
        dialect: in which it is answered, errors too.
        path: without the prefix of a dialect, percent-encoded.
        params: what the pattern of the route names, decoded.
        services: of the deployment.
        insider: says whether the caller may know how the gateway itself is doing.
    """

    __slots__ = ("body", "dialect", "gateway", "identity", "insider", "params", "path", "request", "services")

    def __init__(
        self,
        gateway: Gateway,
        request: Request,
        body: bytes,
        identity: Identity,
        dialect: Dialect,
        path: str,
        params: Mapping[str, str],
        services: Services,
        insider: Callable[[], bool],
    ) -> None:
        self.gateway = gateway
        self.request = request
        self.body = body
        self.identity = identity
        self.dialect = dialect
        self.path = path
        self.params = params
        self.services = services
        self.insider = insider

    @property
    def tenant(self) -> str:
        """Whose request it is."""
        return self.identity.tenant

    def context(self, asked: Asked | None = None) -> Context:
        """Tenant and groups from the key, labels from headers and from the metadata of `asked`.

        Raises:
            Failure: `invalid_request`, for a label that is none.
        """
        if asked is None:
            identity = self.identity
            return Context(tenant=identity.tenant, key_id=identity.key_id, groups=identity.groups)
        return context_of(self.identity, self.request.headers, asked)


Endpoint: TypeAlias = Callable[[Call], Awaitable[Response]]
