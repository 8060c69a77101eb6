"""`POST /v1/feedback`: what a person says of an answer."""

from __future__ import annotations

import msgspec

from hapenny.core.errors import Failure
from hapenny.evidence.labels import Feedback
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response
from hapenny.telemetry.rows import verdict


async def take(call: Call) -> Response:
    """Takes a verdict on an answer of the caller's own tenant into the ledger: it becomes `scores.quality` of that
    request. A bad one also takes the answer out of the semantic cache.

    Raises:
        Failure: `invalid_request`, or `not_found` for a request that the caller's tenant never made.
    """
    gateway = call.gateway
    try:
        feedback = msgspec.json.decode(call.body, type=Feedback)
        score = feedback.value()
        if feedback.source == "audit":
            raise ValueError("source: audit is our own judge")
    except (ValueError, RecursionError, OverflowError) as error:
        raise Failure(
            "invalid_request", f"the feedback is not as expected: {error}", fix="send request_id and thumbs or score"
        ) from None
    ledger = gateway.ledger
    row = await ledger.get(feedback.request_id) if ledger is not None else None
    if ledger is None or row is None or row.tenant != call.tenant or row.background:
        raise Failure("not_found", f"no request {feedback.request_id[:64]!r} in the ledger")
    ledger.book(verdict(row.id, score, feedback.source[:64], gateway.clock.wall()))
    if score < 0.5:
        gateway.admin.feedback(row.id)
    kept = False
    if feedback.corrected is not None and gateway.recorder.content is not None:
        kept = await gateway.recorder.content.correct(row.id, feedback.corrected)
    return as_json({"request_id": row.id, "score": score, "corrected_kept": kept})
