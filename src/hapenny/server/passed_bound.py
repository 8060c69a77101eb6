"""What a request that passes through may cost at worst, for keys with a budget; and the mark of its tenant.

Nothing of it is understood as a chat request is, so only what can be bounded by its bytes and its own limits passes
under a budget: a model that the catalog knows, asked once, whose answer and usage come back in the same exchange.
"""

from __future__ import annotations

from typing import Any

from hapenny.admission.isolation import Isolation
from hapenny.admission.worst_case import of_card
from hapenny.backends.passable import Passable
from hapenny.catalog import Catalog
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.server.passable_request import Body, holds
from hapenny.server.provider_objects import references_of

_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens", "maxTokens", "max_tokens_to_sample")
_SEEN_ELSEWHERE = frozenset({"image_url", "file_url", "image_file", "audio_url", "video_url", "prompt_id"})
_OWN_TOOLS = frozenset({"function", "custom"})
"""Kinds of tools that run at the client; any other runs at the provider, and costs what nobody knows before."""


def bounded(way: Passable, method: str, model: str, body: Body, data: bytes, catalog: Catalog) -> Tokens | None:
    """The most tokens that a request uses; None: it asks no model.

    Raises:
        Failure: `permission`, for one that cannot be bounded.
    """
    if way.keeps in ("object", "list") or method in ("GET", "HEAD", "DELETE"):
        return None
    if way.names not in ("body", "path") or not model:
        raise _unbounded("its model and price cannot be established when it is sent")
    value = body if isinstance(body, dict) else {}
    if way.keeps == "makes" and "input" not in value:
        raise _unbounded("it is paid later, by jobs of the provider")
    if value.get("background") is True:
        raise _unbounded("it is answered later, where nobody meters it")
    tools = value.get("tools")
    offered = tools if isinstance(tools, list) else []
    kinds = {str(tool.get("type", "function")) for tool in offered if isinstance(tool, dict)}
    if kinds - _OWN_TOOLS:
        raise _unbounded("tools that run at the provider cost what nobody knows before")
    unseen = bool(references_of(value)) or holds(value, _SEEN_ELSEWHERE)
    limits = [value[name] for name in _LIMITS if isinstance(value.get(name), int) and value[name] > 0]
    times = value.get("n") if isinstance(value.get("n"), int) else 1
    most = of_card(catalog.resolve(model), data, min(limits) if limits else None, unseen)
    if most is None:
        raise _unbounded(f"what {model[:200]!r} may use is not known")
    return Tokens(input=most[0], output=most[1] * max(1, int(times or 1)))


def _unbounded(why: str) -> Failure:
    return Failure(
        "permission",
        f"this key or its tenant has a budget, and the request cannot be bounded: {why}",
        fix="use an endpoint that the gateway understands (docs/keys-and-budgets.md), or a key without a budget",
    )


def isolated(isolation: Isolation, tenant: str, path: str, way: Passable, body: Body) -> None:
    """Puts the tenant's mark before the prompt of a request, in place.

    Raises:
        Failure: `permission`, for one whose prompt's beginning nobody knows.
    """
    if way.names in ("form", "unsaid") or way.keeps in ("object", "list", "account", "collection"):
        return
    if not isinstance(body, dict) or not _marked(body, isolation.mark(tenant), path):
        raise Failure(
            "permission",
            "tenants are kept apart in the provider's prompt cache here, and this request cannot be marked",
            fix="use an endpoint that the gateway understands, or ask the operator",
        )


def _marked(body: dict[str, Any], mark: str, path: str) -> bool:
    if path == "/v1/responses":
        instructions = body.get("instructions")
        if instructions is not None and not isinstance(instructions, str):
            return False
        for tool in body.get("tools") or ():
            if isinstance(tool, dict) and tool.get("type") == "function":
                tool["description"] = f"{mark} {tool.get('description') or ''}".rstrip()
                break
        body["instructions"] = f"{mark}\n{instructions}" if instructions else mark
        return True
    if path in ("/v1/completions", "/v1/complete") and isinstance(body.get("prompt"), str):
        body["prompt"] = f"{mark}\n{body['prompt']}"
        return True
    # Vectors, moderation, images, speech, relevance: no usage tells how much of them was cached.
    return path in _NOTHING_TOLD


_NOTHING_TOLD = frozenset(
    f"/v1/{name}" for name in ("embeddings", "moderations", "images/generations", "audio/speech", "rerank", "score")
)
