"""Keeps tenants apart in a provider's prompt cache, which all who share an account at the provider share.

Providers say how much of a prompt they had cached. Whoever guesses the beginning of another tenant's prompt could read
that the guess was right. A mark of the tenant before everything else makes equal beginnings of two tenants different:
in the description of the first tool (tools come first in a prompt) and as the first line of the system prompt. The mark
is the same from turn to turn, so a tenant's own prompts are cached as ever. It costs some twenty tokens a call, which
the ledger books to the technique `isolation`.
"""

from __future__ import annotations

from hashlib import blake2b

from msgspec.structs import replace

from hapenny.core.messages import Request, Text

TECHNIQUE = "isolation"


class Isolation:
    """Marks requests.

    Args:
        secret: of the deployment: nobody can make the mark of another tenant.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = secret[:64]

    def mark(self, tenant: str) -> str:
        """The mark of a tenant."""
        digest = blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key, person=b"hapenny-apart")
        return f"[partition {digest.hexdigest()}]"

    def marked(self, request: Request, tenant: str) -> Request:
        """The request with the mark of its tenant; one that has it stays as it is."""
        mark = self.mark(tenant)
        first = request.system[0] if request.system else None
        if isinstance(first, Text) and first.text == mark:
            return request
        tools = request.tools
        for place, tool in enumerate(tools):
            if not tool.kind:  # a provider's own tool says nothing of the tenant
                described = replace(tool, description=f"{mark} {tool.description or ''}".rstrip())
                tools = (*tools[:place], described, *tools[place + 1 :])
                break
        return replace(request, system=(Text(mark), *request.system), tools=tools)
