"""OpenAI Responses: answered through the gateway like every other dialect, by whatever backend serves the model.

What lives at a provider between requests (an earlier response, a conversation, a stored prompt, a job in the
background, an item by reference) is there alone: such a request goes on as it is to an OpenAI backend, under the rules
of what passes and of whose it is, and is refused for models of other backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import Event, Started
from hapenny.core.exchange import Exchange
from hapenny.core.transform import EventTransform
from hapenny.protocols.fields import bound, load
from hapenny.server.call import Call
from hapenny.server.endpoints.chat import Surface, answer
from hapenny.server.endpoints.passthrough import forward
from hapenny.server.provider_objects import REFERENCES, objects_of_response
from hapenny.server.transport.messages import Response

_SURFACE = Surface("responses")
_STATE = ("previous_response_id", "conversation", "prompt", "background")
"""Fields of a request that stand for something at the provider; files, containers and the like are found anywhere."""
_HINTS = (b"\\u", *(f'"{name}"'.encode() for name in ("item_reference", *_STATE, *REFERENCES)))
"""A body without any of these refers to nothing; escapes may spell any of the words."""
_KEEPS = "openai"
"""The kind of backend that keeps responses."""


async def create(call: Call) -> Response:
    """One request, whole or streamed.

    Raises:
        Failure: where there is no exchange yet; `invalid_request` for state that the model's backend does not keep.
    """
    if any(hint in call.body for hint in _HINTS):
        body = load(call.body)
        bound(body)
        state = _state(body)
        if state and not (state == "input" and _spoken_elsewhere(call, body)):
            _permit_state(call, body, state)
            return await forward(call)
    return await answer(call, _SURFACE, partial(_Owned, call))


def _state(body: dict[str, Any]) -> str:
    """The first field that names something kept at a provider; ""."""
    for name in _STATE:
        if body.get(name):
            return name
    return "input" if objects_of_response(body) else ""


def _spoken_elsewhere(call: Call, body: dict[str, Any]) -> bool:
    """Whether another kind of backend answers what names objects: hosted tools and their former calls are told in words
    or refused there, each by its name; an item by reference would be missing."""
    items = body.get("input")
    listed = items if isinstance(items, list) else []
    if any(isinstance(item, dict) and item.get("type") == "item_reference" for item in listed):
        return False
    kind = _kind(call, body.get("model"))
    return kind is not None and kind != _KEEPS


def _kind(call: Call, model: Any) -> str | None:
    """The kind of the backend that serves a model; None where nobody does."""
    gateway = call.gateway
    target = gateway.names.resolve(model).target if isinstance(model, str) and model else None
    options = gateway.config.backends.get(target.backend) if target is not None else None
    return options.kind if options is not None else None


def _permit_state(call: Call, body: dict[str, Any], field: str) -> None:
    gateway, model = call.gateway, body.get("model")
    kept = _kind(call, model) == _KEEPS
    if not model:  # what was made with a model (a stored prompt, an earlier response) may name it
        kept = any(each.kind == _KEEPS for each in gateway.config.backends.values())
    if kept:
        return
    fix = "send it as foreground request" if field == "background" else "send the whole conversation in input"
    raise Failure(
        "invalid_request",
        f"{field} needs a provider that keeps responses, and that of the model {str(model)[:200]!r} keeps none",
        field=field,
        fix=f"{fix}, or name a model of an OpenAI backend",
    )


class _Owned(EventTransform):
    """Notes whose a response is that an OpenAI provider keeps: its id may be named in later requests."""

    watches = True

    def __init__(self, call: Call, exchange: Exchange) -> None:
        self._call = call
        self._exchange = exchange

    def one(self, event: Event) -> Sequence[Event]:
        """Only the start of the answer is looked at."""
        if type(event) is Started and "responses" in event.extras and self._exchange.original.store is not False:
            call, adopted = self._call, self._exchange.adopted
            backend = (adopted.target if adopted is not None else self._exchange.target).backend
            owners, key_id = call.services.owners, call.identity.key_id
            owners.note(backend, event.id, key_id)
            call.gateway.parts.tasks.spawn(owners.keep(backend, event.id, key_id))
        return (event,)
