"""Parameters on their way to a service: fitted to the model, stop sequences shared with the gateway, ids of users."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from hapenny.catalog import fit, refusals
from hapenny.catalog.fitting import ROOM, budget_of, plain
from hapenny.core.errors import invalid
from hapenny.core.messages import Parameters, Thinks
from hapenny.protocols.rules import chat, messages
from hapenny.protocols.rules.common import is_blank
from hapenny.protocols.rules.draft import OPENAIS, Draft
from hapenny.protocols.rules.undo import StopsHere


def fitted(draft: Draft) -> None:
    """What the model refuses is translated, left out or (several answers at once) refused."""
    request, subject = draft.request, draft.subject
    asked = request.parameters
    _reasons(draft)
    fitting = fit(subject.card, draft.request.parameters, subject.model, effort_thinks=request.protocol in OPENAIS)
    for change in fitting.changes:
        draft.note(change.note())
    now = fitting.parameters
    if now.n is not None and now.n > 1 and any(one.name == "n" for one in refusals(subject.card, now, subject.model)):
        raise invalid(f"{subject.model} gives one answer at a time.", "n", "send n = 1, or several requests")
    if now.max_tokens == 0 and subject.service in ("converse", "invoke"):
        now = replace(now, max_tokens=1)
        draft.note("max_tokens=0 sent as 1: Bedrock writes at least one token")
    if subject.maker == "nova" and now.effort == "high" and subject.service == "converse":
        now = _unsampled(draft, now)
    if now.service_tier is not None and draft.foreign and subject.service in ("converse", "invoke"):
        now = _sold(draft, now)
    if now is not asked:
        draft.change(parameters=now)
    if now.stop:
        _stops(draft)
    if request.user is not None and not draft.native:
        _user(draft)


def beside_functions(draft: Draft) -> None:
    """A model that cannot both reason and call functions by chat completions calls functions."""
    p = draft.request.parameters
    if draft.subject.calls_thoughtless(p.effort) and not all(tool.kind for tool in draft.request.tools):
        draft.change(parameters=replace(p, effort="none"))
        draft.note("effort=none: chat completions of this model take functions without reasoning alone")


def _reasons(draft: Draft) -> None:
    """A wish to reason, or not to, that no parameter of the target refuses but none would say either."""
    card, p = draft.subject.card, draft.request.parameters
    if not draft.foreign:
        return
    thoughtless = p.thinking is not None and p.thinking.kind == "disabled" and not (card is not None and card.thinking)
    if thoughtless and draft.subject.maker != "claude" and not (card is not None and "none" in card.efforts):
        # Nova and its like refuse a field that they do not know, and think only when they are told to.
        draft.change(parameters=replace(p, thinking=None))
        draft.note("thinking=disabled left out: the model knows no such field")
        return
    if card is None:
        return
    if draft.request.protocol in OPENAIS:
        if p.effort in (None, "none", "minimal") or p.thinking is not None or not card.efforts:
            return
        thinks = None
        if "adaptive" in card.thinking:
            thinks = Thinks("adaptive")
        elif "enabled" in card.thinking and (budget := budget_of(str(p.effort), p.max_tokens)) is not None:
            thinks = Thinks("enabled", budget)
        if thinks is not None:
            limit = p.max_tokens if p.max_tokens is not None or thinks.budget is None else thinks.budget + ROOM
            draft.change(parameters=replace(p, thinking=thinks, max_tokens=limit))
            draft.note(f"effort={p.effort} sent with thinking={plain(thinks)}")
    elif thoughtless and "none" in card.efforts:
        draft.change(parameters=replace(p, thinking=None, effort="none"))
        draft.note("thinking=disabled said as effort=none")


def _sold(draft: Draft, now: Parameters) -> Parameters:
    """Bedrock refuses a service tier at which it does not sell the model (maximhq/bifrost pull 7270, 2026-09-17)."""
    card, tier = draft.subject.card, now.service_tier
    if card is None or tier not in ("flex", "priority") or card.sells(tier):
        return now
    draft.note(f"service_tier={tier} left out: {card.id} is not sold at it")
    return replace(now, service_tier=None)


def _unsampled(draft: Draft, now: Parameters) -> Parameters:
    """Nova 2 that thinks as much as it can takes no limits beside (docs.aws.amazon.com/nova/latest/nova2-userguide:
    extended thinking)."""
    names = [name for name in ("temperature", "top_p", "max_tokens") if getattr(now, name) is not None]
    if not names:
        return now
    draft.note(f"{','.join(names)}=not sent: Nova takes none of them beside the highest effort")
    return replace(now, **dict.fromkeys(names))


def _stops(draft: Draft) -> None:
    """The provider is told the stop sequences it takes; the answer is cut at the others here."""
    subject, stop = draft.subject, draft.request.parameters.stop
    told = tuple(one for one in stop if one)
    if subject.service != "openai":
        told = tuple(one for one in told if not is_blank(one))
    most = subject.card.stop_max if subject.card is not None else None
    if most is not None and len(told) > most:
        told = told[:most]
    if len(told) == len(stop):
        return
    here = tuple(one for one in stop if one and one not in told)
    draft.change(parameters=replace(draft.request.parameters, stop=told))
    if here:
        draft.undo.append(StopsHere(here))
        draft.note(f"stop={len(here)} of {len(stop)} sequences watched for by the gateway")


def _user(draft: Draft) -> None:
    """An end user's id that is too long for the provider becomes a hash: the same for the same user."""
    user, service = draft.request.user, draft.subject.service
    most = chat.USER if service == "openai" else messages.USER
    if user is None or service == "converse" or len(user) <= most:
        return
    draft.change(user="user_" + hashlib.blake2b(user.encode("utf-8", "replace"), digest_size=16).hexdigest())
    draft.note(f"user=hashed: the service takes {most} letters")
