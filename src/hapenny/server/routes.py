"""The routing table: which path is answered by what, and who may call it. `docs/endpoints.md` is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from hapenny.core.errors import Failure
from hapenny.server.call import Endpoint
from hapenny.server.dialects import Dialect, guess
from hapenny.server.endpoints import (
    admin,
    answers,
    apigateway,
    batches,
    cache,
    certificates,
    chat,
    chat_ws,
    completions,
    count_tokens,
    embeddings,
    feedback,
    health,
    inference_profiles,
    message_batches,
    metrics,
    models,
    parallel,
    passthrough,
    requests,
    responses,
    retrieve,
    select,
    throughput,
    users,
)
from hapenny.server.transport.messages import Request

Who: TypeAlias = Literal["anyone", "caller", "metrics", "admin"]
"""`anyone` needs no key; `caller` a key of scope `call`; `metrics` one of scope `metrics`, or the right address;
`admin` one of scope `admin`, also where nobody else needs a key."""

SMALL = 1_000_000
"""The largest body of endpoints that take a few fields."""


class Route(NamedTuple):
    """One line of the table.

    In `path`, `{name}` is one segment, `{+name}` one that may hold encoded slashes (model ids that are ARNs), and
    `{name...}` the rest of the path. Values are handed over decoded, the rest as it was sent.
    """

    methods: tuple[str, ...]
    path: str
    endpoint: Endpoint
    who: Who
    about: str
    dialect: Dialect | None = None
    """In which it is answered; None: as the request tells."""
    most: int | None = None
    """The largest body; None: the server's."""


class Match(NamedTuple):
    """Where a request goes."""

    route: Route
    dialect: Dialect
    path: str
    """Without the prefix of a dialect."""
    params: Mapping[str, str]


class NotAllowed(Failure):
    """The path is known, the method is not. `allow` names those that are."""

    def __init__(self, method: str, allow: list[str]) -> None:
        super().__init__("invalid_request", f"{method} is not answered here", fix=f"send {' or '.join(allow)}")
        self.allow = allow


GET = ("GET", "HEAD")
POST = ("POST",)
PASSED = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

ROUTES = (
    Route(POST, "/v1/chat/completions", chat.OPENAI, "caller", "Chat completions, whole or streamed.", "openai"),
    Route(POST, "/chat/completions", chat.OPENAI, "caller", "The same, for base URLs without `/v1`.", "openai"),
    Route(
        POST, "/v1/responses", responses.create, "caller",
        "OpenAI Responses, whole or streamed; what refers to state at a provider passes through.", "openai",
    ),
    Route(("GET",), "/v1/chat/ws", chat_ws.connect, "caller", "Chat over a WebSocket: docs/chat.md.", "openai"),
    Route(
        POST, "/v1/apigateway", apigateway.event, "caller", "Events of an API Gateway WebSocket API: docs/chat.md.",
        "openai", most=SMALL,
    ),
    Route(POST, "/v1/responses/input_tokens", count_tokens.responses, "caller", "Counts a Responses prompt.", "openai"),
    Route(POST, "/v1/completions", completions.create, "caller", "OpenAI's older completions.", "openai"),
    Route(
        POST, "/v1/embeddings", embeddings.create, "caller",
        "Embeddings by any backend that makes vectors, remembered by text.", "openai",
    ),
    Route(POST, "/v1/messages", chat.ANTHROPIC, "caller", "Anthropic messages, whole or streamed.", "anthropic"),
    Route(
        POST, "/v1/messages/count_tokens", count_tokens.anthropic, "caller", "Prompt tokens before a call.", "anthropic"
    ),
    Route(POST, "/model/{+model}/converse", chat.CONVERSE, "caller", "Bedrock Converse.", "bedrock"),
    Route(POST, "/model/{+model}/converse-stream", chat.CONVERSE_STREAM, "caller", "Its stream.", "bedrock"),
    Route(
        POST, "/model/{+model}/invoke", chat.invoke(stream=False), "caller",
        "Bedrock InvokeModel: Anthropic bodies are understood, others pass through.", "bedrock",
    ),
    Route(
        POST, "/model/{+model}/invoke-with-response-stream", chat.invoke(stream=True), "caller", "Its stream.",
        "bedrock",
    ),
    Route(POST, "/model/{+model}/count-tokens", count_tokens.bedrock, "caller", "Bedrock CountTokens.", "bedrock"),
    Route(GET, "/v1/models", models.listed, "caller", "The models the key may ask for, in the client's dialect."),
    Route(GET, "/v1/models/{+model...}", models.one, "caller", "One model."),
    Route(GET, "/foundation-models", models.bedrock_listed, "caller", "Bedrock ListFoundationModels.", "bedrock"),
    Route(GET, "/foundation-models/{+model}", models.bedrock_one, "caller", "GetFoundationModel.", "bedrock"),
    Route(
        GET, "/inference-profiles", inference_profiles.listed, "caller",
        "Bedrock ListInferenceProfiles, over the names of the gateway.", "bedrock",
    ),
    Route(GET, "/inference-profiles/{+profile}", inference_profiles.one, "caller", "GetInferenceProfile.", "bedrock"),
    Route(("GET", "POST"), "/v1/files", batches.files, "caller", "Uploads for batches; other files pass through."),
    Route(("GET", "DELETE"), "/v1/files/{id}", batches.file, "caller", "One file."),
    Route(GET, "/v1/files/{id}/content", batches.content, "caller", "Its bytes: a batch's input, output or errors."),
    Route(("GET", "POST"), "/v1/batches", batches.batches, "caller", "Batch jobs, answered through the gateway."),
    Route(GET, "/v1/batches/{id}", batches.batch, "caller", "One batch."),
    Route(POST, "/v1/batches/{id}/cancel", batches.cancel, "caller", "Ends a batch; what was answered stays."),
    Route(
        ("GET", "POST"), "/v1/messages/batches", message_batches.batches, "caller",
        "Batches of messages, answered through the gateway where batches are configured.", "anthropic",
    ),
    Route(("GET", "DELETE"), "/v1/messages/batches/{id}", message_batches.batch, "caller", "One of them.", "anthropic"),
    Route(POST, "/v1/messages/batches/{id}/cancel", message_batches.cancel, "caller", "Ends it.", "anthropic"),
    Route(GET, "/v1/messages/batches/{id}/results", message_batches.results, "caller", "Its answers.", "anthropic"),
    Route(POST, "/v1/parallel", parallel.create, "caller", "A request in parts, side by side: docs/latency.md."),
    Route(POST, "/v1/retrieve", retrieve.search, "caller", "Searches a collection without asking a model.", most=SMALL),
    Route(POST, "/v1/select", select.decide, "caller", "The tier and model a question would go to; nothing is sent."),
    Route(POST, "/v1/feedback", feedback.take, "caller", "What a person says of an answer.", most=SMALL),
    Route(GET, "/v1/certificates", certificates.listed, "caller", "What routing promises, and how it stands."),
    Route(("DELETE",), "/v1/users/{user}/content", users.erase, "caller", "Erases the kept texts of a user."),
    Route(GET, "/v1/requests/{id}", requests.one, "caller", "What one request of the tenant was and cost."),
    Route(GET, "/v1/throughput", throughput.view, "caller", "Queues, limits and endpoints of the models in use."),
    Route(GET, "/v1/cache/stats", cache.stats, "caller", "Counters of the cache's layers."),
    Route(GET, "/v1/cache/explain/", cache.explain, "caller", "All entries of the tenant, without text."),
    Route(GET, "/v1/cache/explain/{key}", cache.explain, "caller", "The tenant's entries under a key, without text."),
    Route(POST, "/v1/cache/invalidate", cache.invalidate, "caller", "Removes entries of the tenant.", most=SMALL),
    Route(POST, "/v1/cache/warm", cache.warm, "caller", "Answers the most asked questions ahead.", most=SMALL),
    Route(POST, "/v1/cache/resume", cache.resume, "caller", "Lets a layer that was stopped try again.", most=SMALL),
    Route(POST, "/v1/cache/feedback", cache.feedback, "caller", "Reports a wrong semantic hit.", most=SMALL),
    Route(GET, "/v1/answers/{id}", answers.published, "anyone", "An answer published for a CDN."),
    Route(GET, "/", health.root, "anyone", "That this is a gateway."),
    Route(GET, "/health", health.ready, "anyone", "`ready` or `degraded`; 503 while no model can be called."),
    Route(GET, "/health/ready", health.ready, "anyone", "The same."),
    Route(GET, "/health/live", health.live, "anyone", "Whether the process answers."),
    Route(GET, "/metrics", metrics.render, "metrics", "Prometheus metrics."),
    Route(GET, "/v1/admin/keys", admin.listed, "admin", "Stored keys, without their secrets."),
    Route(POST, "/v1/admin/keys", admin.create, "admin", "Makes a key; its secret is shown this once.", most=SMALL),
    Route(GET, "/v1/admin/keys/{id}", admin.one, "admin", "One key."),
    Route(("DELETE",), "/v1/admin/keys/{id}", admin.revoke, "admin", "Ends a key, for good."),
    Route(
        POST, "/v1/admin/keys/{id}/rotate", admin.rotate, "admin",
        "Gives a key a new secret; `overlap_s`: how long the old one is still taken.", most=SMALL,
    ),
    Route(GET, "/v1/admin/budgets", admin.budgets, "admin", "How every budget stands in its window."),
    Route(GET, "/v1/admin/tenants", admin.tenants, "admin", "Budgets and limits of tenants."),
    Route(("PUT",), "/v1/admin/tenants/{tenant}", admin.set_tenant, "admin", "Says what a tenant may do.", most=SMALL),
    Route(GET, "/v1/admin/pause", admin.paused, "admin", "Whether saving stages are paused."),
    Route(POST, "/v1/admin/pause", admin.pause, "admin", "Turns every saving stage off at once.", most=SMALL),
    Route(POST, "/v1/admin/resume", admin.resume, "admin", "Turns them on again, as configured.", most=SMALL),
    Route(GET, "/v1/admin/log", admin.log, "admin", "What was done here, newest first; `limit`: how many."),
    *(
        Route(methods, path, passthrough.forward, "caller", "Of Bedrock: passes through.", "bedrock")
        for methods, path in (
            (POST, "/inference-profiles"),
            (POST, "/guardrail/{+id}/version/{version}/apply"),
            (GET, "/foundation-model-availability/{+id}"),
            (GET, "/guardrails/{+id}"),
            (GET, "/prompt-routers/{+id}"),
            (GET, "/imported-models/{+id}"),
            (GET, "/custom-models/{+id}"),
            (GET, "/provisioned-model-throughput/{+id}"),
            (GET, "/model-customization-jobs/{+id}"),
            (GET, "/model-invocation-job/{+id}"),
            (POST, "/model-invocation-job/{+id}/stop"),
            (POST, "/flows/{+id}/aliases/{+alias}"),
            (GET, "/prompts/{+id}/"),
        )
    ),
    Route(PASSED, "/{rest...}", passthrough.forward, "caller", "Everything else passes through, metered."),
)  # fmt: skip

_PREFIXES: tuple[tuple[str, Dialect], ...] = (("/openai/v1/", "openai"), ("/anthropic/v1/", "anthropic"))
"""Base URLs that say which dialect is spoken, as other gateways have them."""


_NONE: Mapping[str, str] = {}


class _Pattern(NamedTuple):
    route: Route
    segments: tuple[str, ...]
    rest: str
    """The name of what matches the rest of the path; empty: nothing does."""


class Table:
    """Routes, ready to be asked. Earlier ones win."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, dict[str, Route]] = {}
        self._usual: dict[tuple[str, str], Match] = {}
        """Where requests go of which method and path say all."""
        self._patterns: dict[str, list[_Pattern]] = {}
        for route in self.routes:
            if "{" not in route.path:
                methods = self._exact.setdefault(route.path, {})
                for method in route.methods:
                    methods.setdefault(method, route)
                    if route.dialect is not None:
                        self._usual.setdefault((method, route.path), Match(route, route.dialect, route.path, _NONE))
                continue
            segments = route.path.split("/")[1:]
            rest = segments.pop().strip("{}").removesuffix("...") if segments[-1].endswith("...}") else ""
            first = segments[0] if segments and not segments[0].startswith("{") else ""
            self._patterns.setdefault(first, []).append(_Pattern(route, tuple(segments), rest))

    def match(self, request: Request) -> Match:
        """Where a request goes.

        Raises:
            Failure: `not_found`, or `invalid_request` for an encoded slash where none may be.
            NotAllowed: for another method.
        """
        path, method, dialect = request.target.path, request.method, None
        usual = self._usual.get((method, path))
        if usual is not None:
            return usual
        for prefix, spoken in _PREFIXES:
            if path.startswith(prefix):
                path, dialect = path[len(prefix) - 4 :], spoken
        allowed: set[str] = set()
        known = self._exact.get(path)
        if known is not None:
            route = known.get(method)
            if route is not None:
                return Match(route, dialect or route.dialect or guess(request), path, _NONE)
            allowed.update(known)
        segments = path.split("/")[1:]
        for pattern in (*self._patterns.get(segments[0], ()), *self._patterns.get("", ())):
            params = _params(pattern, segments, request.target.folded)
            if params is None or (pattern.rest and allowed and not pattern.segments):
                continue
            route = pattern.route
            if method in route.methods:
                return Match(route, dialect or route.dialect or guess(request), path, params)
            allowed.update(route.methods)
        if allowed:
            raise NotAllowed(method, sorted(allowed))
        raise Failure("not_found", f"nothing is served at {path[:200]!r}")


def _params(pattern: _Pattern, segments: list[str], folded: bool) -> dict[str, str] | None:
    """What the pattern names in the path; None: it is another one."""
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.rest):
        return None
    params = {}
    for want, segment in zip(wanted, segments, strict=False):
        if not want.startswith("{"):
            if want != segment:
                return None
            continue
        name = want.strip("{}+")
        value = unquote(segment)
        if not segment or (folded and not want.startswith("{+") and _folds(segment)):
            return None
        params[name] = value
    if pattern.rest:
        rest = "/".join(segments[len(wanted) :])
        if folded and not pattern.rest.startswith("+") and _folds(rest):
            raise Failure("invalid_request", "an encoded slash in the path", fix="send the path as it is documented")
        params[pattern.rest.removeprefix("+")] = rest
    return params


def _folds(text: str) -> bool:
    lower = text.lower()
    return "%2f" in lower or "%5c" in lower


TABLE = Table(ROUTES)


def manual() -> str:
    """The table as a page."""
    lines = [
        "# Endpoints",
        "",
        "What the gateway answers, in the order in which paths are looked up. Everything for OpenAI's clients is also",
        "under `/openai/v1/…`, everything for Anthropic's under `/anthropic/v1/…`; where a path belongs to both, the",
        "prefix or the client's own headers say whose dialect is meant. Errors come in the client's dialect.",
        "*Who*: `anyone` needs no key; `caller` a key of scope `call`; `metrics` a key of scope `metrics`, or an",
        "address of `server.metrics_from`; `admin` a key of scope `admin`. Where no keys are configured, nobody needs",
        "one, but for what is `admin`'s: docs/keys-and-budgets.md tells how the first one is made.",
        "",
        "A request's target is a path of plain segments. Anything else is refused with 400 before a key is looked at:",
        "other hosts, dot segments, empty segments, back slashes, control characters, encoded slashes but in `{+…}`.",
        "",
        "| method | path | who | |",
        "| --- | --- | --- | --- |",
    ]
    for route in ROUTES:
        methods = ", ".join(method for method in route.methods if method != "HEAD")
        lines.append(f"| {methods} | `{route.path}` | {route.who} | {route.about} |")
    return "\n".join(lines) + "\n"
