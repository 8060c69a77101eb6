"""The table of a server that plays a provider: the gateway's own routes, faults on demand, bill, jobs, S3, quotas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hapenny.server.call import Call, Endpoint
from hapenny.server.replies import as_json
from hapenny.server.routes import GET, POST, ROUTES, Route, Table
from hapenny.server.simulated.account import quotas
from hapenny.server.simulated.faults import faulty
from hapenny.server.simulated.guardrails import Guardrails
from hapenny.server.simulated.jobs import JobPages
from hapenny.server.simulated.model_changes import PATH, changes
from hapenny.server.transport.messages import Response
from hapenny.simulation.provider import SimulatedProvider

_MODEL_CALLS = ("/chat/completions", "/messages", "/converse", "/converse-stream", "/invoke", "-response-stream")
"""How the paths of model calls end."""


def table(provider: SimulatedProvider, pages: dict[str, Callable[[], Any]], jobs: JobPages | None) -> Table:
    """The routes of a simulated provider.

    Args:
        provider: whose account it is.
        pages: further GET pages, path -> what to show as JSON.
        jobs: batch jobs and their S3; None: there are none.
    """
    own = [Route(GET, path, _page(show), "caller", "Of the simulation.") for path, show in pages.items()]
    guardrails = Guardrails(provider)
    own += [
        Route(
            POST, "/guardrail/{+id}/version/{version}/apply", guardrails.apply(), "caller", "ApplyGuardrail.", "bedrock"
        ),
        Route(POST, "/guardrail-checks/invoke", guardrails.checks(), "caller", "InvokeGuardrailChecks.", "bedrock"),
    ]  # fmt: skip
    own.append(Route(POST, "/", quotas(provider), "caller", "Service Quotas, ListServiceQuotas.", "bedrock"))
    own.append(
        Route(("GET", "POST", "DELETE"), PATH, changes(provider), "caller", "A model gets worse while it serves.")
    )
    if jobs is not None:
        own += [
            Route(GET, "/model-invocation-jobs", jobs.list, "caller", "ListModelInvocationJobs.", "bedrock"),
            Route(POST, "/model-invocation-job", jobs.create, "caller", "CreateModelInvocationJob.", "bedrock"),
            Route(GET, "/model-invocation-job/{+id}", jobs.get, "caller", "GetModelInvocationJob.", "bedrock"),
            Route(POST, "/model-invocation-job/{+id}/stop", jobs.stop, "caller", "StopModelInvocationJob.", "bedrock"),
            Route(
                ("GET", "HEAD", "PUT", "DELETE"), "/s3/{+place...}", jobs.object, "caller",
                "As much of S3 as jobs need.", "bedrock",
            ),
        ]  # fmt: skip
    served = [
        route._replace(endpoint=faulty(route.endpoint)) if route.path.endswith(_MODEL_CALLS) else route
        for route in ROUTES
    ]
    return Table([*own, *served])


def _page(show: Callable[[], Any]) -> Endpoint:
    async def answer(call: Call) -> Response:
        return as_json(show())

    return answer
