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
from hapenny.core.messages import Request
from hapenny.protocols.rules import (
    attribution,
    chat,
    claude_on_bedrock,
    converse,
    formats,
    free_form,
    history,
    identity,
    leftovers,
    legacy,
    media,
    messages,
    mixed,
    namespaces,
    older_chat,
    parameters,
    plain_servers,
    points,
    property_keys,
    told,
    toolkit,
    turns,
)
from hapenny.protocols.rules.census import Census
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.subject import Service, subject
from hapenny.protocols.rules.table import Breach
from hapenny.protocols.rules.undo import Undo

_OWN = frozenset(("responses", "completions"))
"""Services that are asked in their own dialect alone."""


class Fitted(NamedTuple):
    """A request as it will be composed."""

    request: Request
    notes: tuple[str, ...] = ()
    """What was changed: goes into the answer's headers."""
    undo: Undo | None = None
    """Frees the answer of what was changed; for one answer alone."""
    plain: bool = False
    """Whether it was known to break no rule; `notes` then say what is not sent, too."""


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
    if service in _OWN:  # asked in its own dialect alone: what it refuses is the client's own affair
        return Fitted(request)
    if request.protocol == "completions":
        legacy.prompted(draft)
    if request.extras and not draft.native:
        formats.of_beta(draft)
    spaced = namespaces.flattened(draft)
    freed = free_form.functions(draft)
    if draft.foreign:
        older_chat.translated(draft)
    seen = Census(draft.request)
    if seen.media and draft.foreign:
        told.in_words(draft)
    parameters.fitted(draft)
    if service == "openai":
        if draft.foreign:
            plain_servers.unknown_fields(draft)
        elif not draft.subject.hears_developers:
            plain_servers.by_the_system(draft)
    if request.system:
        attribution.left_out(draft)
    if draft.foreign and (seen.leftovers or request.store is not None):
        leftovers.told(draft)
    if service == "invoke" and request.protocol == "anthropic":
        fields, notes = claude_on_bedrock.fit(draft.request, draft.subject, cached=seen.points)
        draft.request = fields
        draft.notes += notes
    if draft.request.parameters.format is not None:
        formats.formatted(draft)
    keyed = None
    if draft.request.tools:
        if service == "openai":
            parameters.beside_functions(draft)
        toolkit.defined(draft)
        keyed = property_keys.renamed(draft)
        toolkit.chosen(draft)
    _conversation(draft, seen)
    if draft.request.tools:
        toolkit.whole(draft)
    if seen.points:
        points.placed(draft)
    if draft.request is request and not draft.notes:
        return Fitted(request)
    draft.undo += [one for one in (keyed, freed, spaced) if one is not None]  # once names are the client's again
    return Fitted(draft.request, tuple(draft.notes), Undo(draft.undo) if draft.undo else None)


def _conversation(draft: Draft, seen: Census) -> None:
    """The turns, from the inside of their blocks to the order in which they stand."""
    service = draft.subject.service
    if seen.thoughts:
        turns.without_strange_thoughts(draft)
    if draft.foreign:
        if (seen.instructs or (seen.media and draft.request.system)) and service != "openai":
            turns.raised(draft, cached=seen.points)
        if not seen.paired:
            history.paired(draft)
        if service == "openai" and (seen.failed or seen.media):
            history.for_chat(draft)
    if service == "converse" and seen.failed:
        history.as_objects(draft)
    if service != "openai":
        if seen.blank or seen.thoughts:
            turns.without_blanks(draft)
        history.without_broken_thinking(draft)
        if seen.thoughts:
            turns.spoken(draft)
        if draft.foreign and seen.calls:
            history.readable(draft)
            history.with_tools(draft)
    if service != "openai":
        turns.opened(draft)
        turns.instructed(draft)
        turns.closed(draft)
    elif draft.foreign:
        if not draft.subject.prefills:
            turns.closed(draft)
        if not draft.subject.is_openais:
            plain_servers.joined(draft)
    if seen.media:  # once what instructions held has its place
        media.attached(draft)
    if seen.calls:
        mixed.apart(draft)
    if seen.calls or draft.request.tools:
        identity.rewritten(draft)


def broken(
    body: dict[str, Any], service: Service, model: str, card: Card | None, *, stream: bool = False
) -> Iterator[Breach]:
    """The rules that a composed `body` breaks, as the service would find them; `stream`: a streamed answer is asked."""
    checked = subject(service, model, card)
    if service == "converse":
        return converse.check(body, checked, stream)
    if service == "openai":
        return chat.check(body, checked)
    if service in _OWN:
        return iter(())
    return messages.check(body, checked)
