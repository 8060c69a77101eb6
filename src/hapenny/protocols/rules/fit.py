"""A request made fit for the service it goes to, and the answer's way back.

Theory of operation. `fit` is a pure function of the request, the service and the model: backends apply it to every
request they send, whatever stages ran. It works on the request before it is composed, step by step; each step knows
some rules of the table and leaves a note for each thing it changed. What cannot be mended is refused here, in words of
the client's dialect. `broken` is the other side: it looks at a composed body as the service would, rule by rule, and is
what the simulated provider asks. A property test holds that whatever `fit` lets through breaks no rule.

A conversation that needs nothing costs one look at its blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hapenny.catalog import Card
from hapenny.core.messages import Request, Text, ToolResult, ToolUse
from hapenny.protocols.rules import (
    chat,
    claude_on_bedrock,
    converse,
    formats,
    history,
    identity,
    media,
    messages,
    parameters,
    points,
    toolkit,
    turns,
)
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.subject import Service, subject
from hapenny.protocols.rules.table import Breach
from hapenny.protocols.rules.undo import Undo


class Fitted(NamedTuple):
    """A request as it will be composed."""

    request: Request
    notes: tuple[str, ...] = ()
    """What was changed: goes into the answer's headers."""
    undo: Undo | None = None
    """Frees the answer of what was changed; for one answer alone."""


def fit(request: Request, service: Service, model: str, card: Card | None) -> Fitted:
    """`request` as `service` takes it for `model`.

    Args:
        request: what the gateway decided to send.
        service: who will get it.
        model: the provider's name of the model.
        card: what the catalog knows of it, or None.

    Raises:
        Failure: `invalid_request` with field and fix, for what can neither be sent nor translated.
    """
    draft = Draft(request, subject(service, model, card))
    parameters.fitted(draft)
    if service == "invoke" and request.protocol == "anthropic":
        fields, notes = claude_on_bedrock.fit(draft.request, draft.subject)
        draft.request = fields
        draft.notes += notes
    if draft.request.parameters.format is not None:
        formats.formatted(draft)
    if draft.request.tools:
        toolkit.defined(draft)
        toolkit.chosen(draft)
    if not _plain(draft):
        _conversation(draft)
    points.placed(draft)
    if draft.request is request and not draft.notes:
        return Fitted(request)
    return Fitted(draft.request, tuple(draft.notes), Undo(draft.undo) if draft.undo else None)


def _plain(draft: Draft) -> bool:
    """Whether the turns are text alone, none blank, a user first and last: nothing there needs a look."""
    request = draft.request
    if request.tools or not request.messages:
        return False
    for message in request.messages:
        if not message.content or message.role == "tool":
            return False
        for block in message.content:
            if type(block) is not Text or not block.text or block.text.isspace():
                return False
    if any(type(block) is Text and (not block.text or block.text.isspace()) for block in request.system):
        return False
    return request.messages[0].role == "user" == request.messages[-1].role and draft.subject.has("system") is not False


def _conversation(draft: Draft) -> None:
    """The turns, from the inside of their blocks to the order in which they stand."""
    service = draft.subject.service
    if draft.foreign:
        history.paired(draft)
        if service == "openai":
            history.for_chat(draft)
        else:
            history.without_broken_thinking(draft)
    if service != "openai":
        turns.without_blanks(draft)
        if draft.foreign:
            history.with_tools(draft)
    media.attached(draft)
    if service != "openai":
        turns.opened(draft)
        turns.instructed(draft)
        turns.closed(draft)
    if draft.request.tools or any(
        isinstance(block, ToolUse | ToolResult) for message in draft.request.messages for block in message.content
    ):
        identity.rewritten(draft)


def broken(body: dict[str, Any], service: Service, model: str, card: Card | None) -> Iterator[Breach]:
    """The rules that a composed `body` breaks, as the service would find them."""
    checked = subject(service, model, card)
    if service == "converse":
        return converse.check(body, checked)
    if service == "openai":
        return chat.check(body, checked)
    return messages.check(body, checked)
