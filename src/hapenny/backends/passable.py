"""What of a provider's API passes through as it is: an allow-list of methods and paths for each kind.

Everything that is not listed is refused: a path nobody looked at may read, change or delete what another key keeps at
the provider, or ask for a model that the key may not ask for.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from hapenny.core.patterns import pattern

Names: TypeAlias = Literal["body", "form", "path", "requests", "modelId", "unsaid"]
"""Where a request names its model: `model` of the body, a field of a form, the path, each of a batch's
`requests[].params`, Bedrock's `modelId`; or nowhere that can be read (files of batches)."""
Keeps: TypeAlias = Literal["nothing", "makes", "object", "list", "account", "collection"]
"""What it has to do with objects at the provider: it makes one, is about one that is there, or lists everybody's; it
acts for the operator's account; or it reads a collection of the operator's (a knowledge base)."""


class Passable(NamedTuple):
    """One way that is open."""

    methods: frozenset[str]
    path: re.Pattern[str]
    """Of the whole path, without the prefix of a dialect; its group is the id of an object, percent-encoded."""
    names: Names = "unsaid"
    keeps: Keeps = "nothing"


_POST = frozenset({"POST"})
_ID = r"([A-Za-z0-9][A-Za-z0-9_.:-]{2,200})"


def _ways(methods: str, path: str, names: Names = "unsaid", keeps: Keeps = "nothing") -> Passable:
    return Passable(frozenset(methods.split()), pattern(path.replace("{id}", _ID)), names, keeps)


_ACCOUNT = (
    "inference-profile|guardrail|prompt-router|imported-model|custom-model|provisioned-model-throughput|"
    "model-invocation-job|model-customization-job"
)

OPENAI = (
    _ways("POST", "/v1/responses", "body", "makes"),
    _ways("GET DELETE", "/v1/responses/{id}", keeps="object"),
    _ways("GET", "/v1/responses/{id}/input_items", keeps="object"),
    _ways("POST", "/v1/responses/{id}/cancel", keeps="object"),
    _ways("POST", "/v1/conversations", keeps="makes"),
    _ways("GET POST DELETE", "/v1/conversations/{id}", keeps="object"),
    _ways("GET POST", "/v1/conversations/{id}/items", keeps="object"),
    _ways("GET DELETE", f"/v1/conversations/{{id}}/items/{_ID.replace('(', '(?:', 1)}", keeps="object"),
    _ways("POST", "/v1/(?:embeddings|moderations|completions|images/generations|audio/speech|rerank|score)", "body"),
    _ways("POST", "/v1/(?:audio/transcriptions|audio/translations|images/edits|images/variations)", "form"),
    _ways("POST", "/v1/files", "form", "makes"),
    _ways("GET DELETE", "/v1/files/{id}", keeps="object"),
    _ways("GET", "/v1/files/{id}/content", keeps="object"),
    _ways("POST", "/v1/batches", keeps="makes"),
    _ways("GET", "/v1/batches/{id}", keeps="object"),
    _ways("POST", "/v1/batches/{id}/cancel", keeps="object"),
    _ways("GET", "/v1/(?:responses|files|batches|fine_tuning/jobs)", keeps="list"),
    _ways("POST", "/v1/fine_tuning/jobs", "body", "makes"),
    _ways("GET", "/v1/fine_tuning/jobs/{id}(?:/events|/checkpoints)?", keeps="object"),
    _ways("POST", "/v1/fine_tuning/jobs/{id}/(?:cancel|pause|resume)", keeps="object"),
)
ANTHROPIC = (
    _ways("POST", "/v1/messages/batches", "requests", "makes"),
    _ways("GET DELETE", "/v1/messages/batches/{id}", keeps="object"),
    _ways("GET", "/v1/messages/batches/{id}/results", keeps="object"),
    _ways("POST", "/v1/messages/batches/{id}/cancel", keeps="object"),
    _ways("GET", "/v1/(?:messages/batches|files)", keeps="list"),
    _ways("POST", "/v1/complete", "body"),
    _ways("POST", "/v1/files", "form", "makes"),
    _ways("GET DELETE", "/v1/files/{id}", keeps="object"),
    _ways("GET", "/v1/files/{id}/content", keeps="object"),
)
BEDROCK = (
    _ways("POST", "/model/[^/]+/(?:invoke|invoke-with-response-stream|converse|converse-stream)", "path"),
    _ways("POST", "/guardrail/[^/]+/version/[^/]+/apply"),
    # the agent runtime
    _ways("POST", "/rerank", "body"),
    _ways("POST", "/knowledgebases/([^/]+)/retrieve", keeps="collection"),
    _ways("POST", "/retrieveAndGenerate(?:Stream)?", "body", "collection"),
    _ways("POST", "/(?:generateQuery|optimize-prompt)", keeps="account"),
    _ways("POST", "/flows/[^/]+/aliases/[^/]+", keeps="account"),
    _ways("POST", "/agents/[^/]+/agentAliases/[^/]+/sessions/[^/]+/text", keeps="account"),
    # the control plane
    _ways("GET", "/(?:foundation-model-availability|list-foundation-model-agreement-offers)/[^/]+"),
    _ways("GET", f"/(?:{_ACCOUNT})s", keeps="list"),
    _ways("GET", f"/(?:{_ACCOUNT})s?/[^/]+", keeps="account"),
    _ways("POST", "/model-invocation-job", "modelId", "account"),
    _ways("POST", "/model-invocation-job/[^/]+/stop", keeps="account"),
    _ways("POST", "/(?:inference-profiles|prompt-routers)", keeps="account"),
    # prompt management
    _ways("GET", "/prompts/", keeps="list"),
    _ways("GET", "/prompts/[^/]+/", keeps="account"),
    *OPENAI,
)

EVERYTHING = (*BEDROCK, *ANTHROPIC)


def way(ways: tuple[Passable, ...], method: str, path: str) -> tuple[Passable, str] | None:
    """The way that is open for a request, and the id of the object it is about ("": none); None: it is closed."""
    for each in ways:
        if method in each.methods or (method == "HEAD" and "GET" in each.methods):
            match = each.path.fullmatch(path)
            if match is not None:
                return each, match[1] if each.path.groups else ""
    return None
