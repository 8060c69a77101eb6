"""An error as people paste it: a body, a client's exception, a log line; and what it means, from `known_errors`.

Nothing is known of where the text comes from, so a row of the table holds where its code or its words are in the
text. Codes that are everyday words ("tokens") count only where they stand as the value of a field.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hapenny.core.errors import RETRYABLE, STATUS, Failure, Kind
from hapenny.protocols import known_errors

_STATUS = re.compile(
    r"(?:error code|status(?:[ _]code)?|http(?:/[\d.]+)?|\bHTTP error)\D{0,6}([45]\d\d)\b", re.IGNORECASE
)
_LEADING = re.compile(r"\s*([45]\d\d)\b")
_FIELD = re.compile(r"""["'](?:__type|type|code|reason|status|error)["']\s*:\s*["']([^"']{1,80})["']""")
_NAME = re.compile(r"\b[A-Za-z]+(?:_[A-Za-z]+)+\b|\b[A-Z][A-Za-z]+(?:Exception|Error|Signature|Token|TokenId)\b")
_SAID = re.compile(r"\(([A-Za-z]{4,60})\) when calling")
_MOST = 20_000
"""Characters of a pasted text that are read."""

_FIXES: dict[Kind, str] = {
    "invalid_request": "correct the request: the message names what is wrong with it; hapenny sends it nowhere else",
    "context_overflow": "send less, switch on the stage `window`, or name a model with a larger window in fallbacks",
    "too_large": "send less at once: this request alone is over the account's limit a minute",
    "rate_limited": "nothing, if it is rare: it is tried again; else ask for more quota, list regions or endpoints "
    "under stages.throughput.models, or name fallbacks",
    "overloaded": "nothing: it is tried again, elsewhere where endpoints or fallbacks are configured",
    "unavailable": "nothing: it is tried again, elsewhere where endpoints or fallbacks are configured",
    "upstream": "nothing: it is tried again; if it stays, ask the provider",
    "timeout": "raise routes.NAME.begin_s or finish_s if the model is slow by nature; else name fallbacks",
    "model_error": "try the request once more by hand; if it stays, another model (fallbacks) answers it",
    "not_found": "correct the model's id or region: `hapenny options models`, and the provider's list of models",
    "conflict": "try it again once the other change is through",
}


class Explained(Struct, frozen=True):
    """What an error means."""

    kind: Kind
    status: int
    """The status that clients of the gateway see."""
    again: bool
    """Whether it is tried again, or sent elsewhere."""
    fix: str
    source: str
    """Where such an error was recorded; empty: only its status is known."""


def explain(text: str) -> Explained | None:
    """What a pasted error means; None: nothing in it is known."""
    text = text[:_MOST]
    lowered = " ".join(text.lower().replace("’", "'").split())
    codes = {match.lower().rpartition("#")[2] for match in _FIELD.findall(text)}
    codes |= {match.lower() for match in (*_NAME.findall(text), *_SAID.findall(text))}
    stated = _STATUS.search(text) or _LEADING.match(text)
    status = int(stated[1]) if stated is not None else None
    for row in known_errors.ROWS:
        if row.code and row.code not in codes:
            continue
        if row.text and row.text not in lowered:
            continue
        if row.status and status is not None and status not in row.status:
            continue
        return _explained(row.kind, row.fix, row.source)
    if status is not None:
        kind, fix = known_errors.STATUS.get(status) or ("invalid_request" if status < 500 else "upstream", "")
        return _explained(kind, fix, "")
    return None


def _explained(kind: Kind, fix: str, source: str) -> Explained:
    status = Failure(kind, "").status if kind in STATUS else 500
    return Explained(kind, status, kind in RETRYABLE, fix or _FIXES.get(kind, "see the provider's pages"), source)
