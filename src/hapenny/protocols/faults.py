"""What the dialects share about errors: from a provider's answer to our failure, and the headers that steer a client's
retries. What an error means stands in `known_errors`."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from hapenny.core.errors import Failure, account_refused
from hapenny.protocols.error_bodies import ErrorBody
from hapenny.protocols.known_errors import STATUS, Speaks, known

_DAY = 86_400.0


def failure(speaks: Speaks, status: int, headers: Mapping[str, str], body: ErrorBody) -> Failure:
    """The failure behind an error.

    Args:
        speaks: the provider's dialect.
        status: of the answer; 200 for an error within a stream.
        headers: of the answer, by lower-case names.
        body: what it says.
    """
    if status < 400 and body.status:
        status = body.status
    codes = frozenset(code.lower() for code in body.codes)
    text = f"{body.message} {body.about}".lower().replace("’", "'")
    row = known(speaks, status, codes, text)
    if row is not None:
        kind, fix = row.kind, row.fix
    else:
        kind, fix = STATUS.get(status) or ("invalid_request" if 400 <= status < 500 else "upstream", "")
    upstream_status = status if status >= 400 else None
    upstream_type = body.codes[0] if body.codes else None
    if kind == "provider_account":
        return account_refused(fix, body.message, upstream_status=upstream_status, upstream_type=upstream_type)
    after = retry_after(headers)
    usual = f"The provider answered with status {status}." if status >= 400 else "The provider's stream broke off."
    return Failure(
        kind,
        body.message or usual,
        field=body.field,
        retry_after=after if after is not None else body.retry_after,
        upstream_status=upstream_status,
        upstream_type=upstream_type,
        filtered=row is not None and row.filtered,
    )


DATED_S = 2.0
"""The least wait that a date stands for. `retry-after` and `date` have whole seconds, so each may be off by one; and
where an answer has no `date` it counts from our clock. A date that seems to be over therefore says that the clocks
differ, not that there is room at once."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until the provider wants to be asked again, at most a day; None where it does not say.

    `retry-after-ms` and `x-amz-retry-after` are milliseconds; `retry-after` is seconds or a date (RFC 9110 §10.2.3),
    which counts from the provider's own `date`, so that a clock that is wrong on either side does no harm. A date is
    never taken for sooner than `DATED_S`.
    """
    for name, scale in (("retry-after-ms", 1000.0), ("x-amz-retry-after", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / scale
        except ValueError:
            continue
        if 0 <= seconds <= _DAY:
            return seconds
    try:
        wait = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = max(DATED_S, wait.total_seconds())
    return seconds if seconds <= _DAY else None


def retry_headers(failure: Failure) -> dict[str, str]:
    """Headers that the OpenAI and Anthropic clients obey: when to try again, and whether at all."""
    if not failure.retryable or failure.kind == "provider_account":
        return {"x-should-retry": "false"}  # other providers have been asked already
    if failure.retry_after is None:
        return {}
    milliseconds = max(1, round(failure.retry_after * 1000))
    return {"retry-after-ms": str(milliseconds), "retry-after": str(-(-milliseconds // 1000))}
