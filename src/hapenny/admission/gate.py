"""The gate: what a key and its tenant may use, asked before a request and before each paid call.

`admit` stands before a client's request: limits a minute, and budgets that are known to be spent. `reserve` stands
before every paid call, whoever makes it (a request, a retry, a hedge, an audit, a record of a batch, an answer ahead),
and takes its worst case from the budgets; the call's cost in the ledger settles it. A cached answer costs nothing and
reserves nothing.

What a call cost is known when it ends, but for a call that reported nothing: its estimate may still be refined by a
later attempt, so it is settled with its request's row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from hapenny.admission import worst_case
from hapenny.admission.budgets import BudgetStore, Standing
from hapenny.admission.holders import Account, Holder, Holders, Rate
from hapenny.admission.worst_case import Worst
from hapenny.core.calls import Call, Target
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.core.money import dollars
from hapenny.core.notes import Note
from hapenny.stores.counters import Charge as Take
from hapenny.stores.counters import Counters, Ticket
from hapenny.telemetry.pricing import Prices

_log = get_logger("hapenny.admission")
GRACE_S = 60
"""How long after its last limit a call that is still open keeps its reservation."""
SOON_S = 1.0
"""After how long another try makes sense while calls under way hold what is left of a budget."""


class Standings(NamedTuple):
    """How a limit a minute stands: units, and seconds until it is full again."""

    limit: int
    remaining: int
    reset_s: float


class Limits(NamedTuple):
    """The scarcest limit of each kind that holds for a request; None: there is none."""

    requests: Standings | None = None
    tokens: Standings | None = None


LIMITS: Note[Limits] = Note("admission.limits", travels=True)
"""How the limits of a request stand, for its answer's headers."""


class Limited(Failure):
    """A limit or budget was reached. `limits`: how those a minute stand, for the answer's headers."""

    personal = True
    limits: Limits = Limits()


class Held(NamedTuple):
    """A reservation of one paid call."""

    id: str
    accounts: tuple[Account, ...]


class Gate:
    """See the module.

    Args:
        holders: whose limits hold.
        budgets: where budgets are kept.
        counters: where limits a minute are counted.
        prices: of this configuration.
        clock: the deployment's clock.
    """

    def __init__(
        self, holders: Holders, budgets: BudgetStore, counters: Counters, prices: Prices, clock: Clock
    ) -> None:
        self.holders = holders
        self.keyed, self.registry = holders.keyed, holders.registry
        """Where neither `keyed` nor `registry.limits` holds, nobody has a limit: the way of a request does not come by
        here."""
        self._budgets = budgets
        self._counters = counters
        self._prices = prices
        self._clock = clock
        self._spent: dict[str, int] = {}
        self.refused = 0
        """Calls that no budget paid."""

    def holder(self, context: Context) -> Holder | None:
        """What holds for whoever asks; None: nothing."""
        return self.holders.of(context.tenant, context.key_id)

    # -- before a request ------------------------------------------------------------------------------------------

    async def admit(self, exchange: Exchange, size: Callable[[], int]) -> None:
        """Lets a client's request in.

        Args:
            exchange: gets to know how the limits stand.
            size: tokens that the request may use, asked where they are limited.

        Raises:
            Limited: `rate_limited` with the time to wait, or `budget`.
        """
        holder = self.holder(exchange.context)
        if holder is None:
            return
        now = self._clock.wall()
        for account in holder.accounts:
            ends = self._spent.get(account.name)
            if ends is not None:
                if now < ends:
                    raise self._over(account, ends)
                del self._spent[account.name]
        if not holder.rates:
            return
        needed = size() if any(rate.unit == "tokens" for rate in holder.rates) else 0
        takes = [Take(rate.key, rate.limit, 1.0 if rate.unit == "requests" else float(needed)) for rate in holder.rates]
        try:
            grant = await self._counters.reserve(takes, exchange.limits.finish_by - exchange.clock.now() + GRACE_S)
            levels = await self._counters.levels(takes)
        except ConnectionError as error:  # they keep peace among clients; money is kept by budgets
            _log.error("limits a minute cannot be counted, and let everybody pass", error=error)
            return
        limits = _limits(holder.rates, levels)
        exchange.stage_notes[LIMITS] = limits
        if grant.ticket is None:
            wait = grant.wait_s if math.isfinite(grant.wait_s) else SOON_S
            failure = Limited(
                "rate_limited",
                "this key or its tenant has reached its limit a minute",
                fix="send fewer requests or tokens a minute, or ask the operator for more",
                retry_after=max(0.001, wait),
            )
            failure.limits = limits
            raise failure
        exchange.on_end(partial(self._used, exchange, grant.ticket, holder.rates))

    def _used(self, exchange: Exchange, ticket: Ticket, rates: Sequence[Rate]) -> None:
        """Replaces the expected tokens by those of the answer; what a cache answered used none."""
        call = exchange.adopted or (exchange.calls[-1] if exchange.calls else None)
        tokens = call.tokens if call is not None else None
        if tokens is None and call is not None:
            used = [take.amount for take in ticket.charges]
        else:
            count = float(tokens.prompt + tokens.output) if tokens is not None else 0.0
            used = [1.0 if rate.unit == "requests" else count for rate in rates]
        self._counters.settle(ticket, used)

    async def standings(self) -> list[tuple[Account, Standing, int]]:
        """Every budget, how it stands, and when more of it is free by itself (epoch seconds).

        Raises:
            ConnectionError: the store cannot be used.
        """
        now = self._clock.wall()
        standings = []
        for account in self.holders.all():
            first = self.holders.charge(account, 0, now).first
            standing = await self._budgets.standing(account.name, first, int(now))
            standings.append((account, standing, self.holders.ends(account, now)))
        return standings

    # -- before a call ---------------------------------------------------------------------------------------------

    async def reserve(self, exchange: Exchange, target: Target, request: Request) -> Held | None:
        """Takes what a model call may cost at worst; None: no budget holds.

        Raises:
            Limited: `budget`, `rate_limited` while calls under way hold the rest, `permission` for an unknown price.
        """
        holder = self.holder(exchange.context)
        if holder is None or not holder.accounts:
            return None
        worst = worst_case.of_request(self._prices, request, target, self._clock.wall())
        return await self._reserve(exchange, holder, target, worst)

    async def reserve_tokens(self, exchange: Exchange, target: Target, most: Tokens) -> Held | None:
        """The same for a call whose tokens are bounded by whoever makes it: vectors, relevance, what passes through."""
        holder = self.holder(exchange.context)
        if holder is None or not holder.accounts:
            return None
        worst = worst_case.of_tokens(self._prices, target, most, self._clock.wall())
        return await self._reserve(exchange, holder, target, worst)

    async def reserve_job(self, id: str, context: Context, target: Target, request: Request, dies: float) -> None:
        """The same for a record of a provider's batch job, under an `id` that outlives the process; until `dies` (epoch
        seconds)."""
        holder = self.holder(context)
        if holder is not None and holder.accounts:
            worst = worst_case.of_request(self._prices, request, target, self._clock.wall())
            await self._take(id, holder, target, worst, int(dies))

    def attach_job(self, id: str, exchange: Exchange, call: Call) -> None:
        """The reservation of that id is this call's, which a job has made."""
        holder = self.holder(exchange.context)
        if holder is not None and holder.accounts:
            self.attach(exchange, call, Held(id, holder.accounts))

    def attach(self, exchange: Exchange, call: Call, held: Held) -> None:
        """The reservation is this call's: it is settled when that has ended."""
        settled: list[bool] = []

        def settle() -> None:
            if not settled:
                settled.append(True)
                self.settle(held, call)

        def ended(other: Call) -> None:
            if other is call and call.provenance != "estimated":
                settle()

        exchange.on_call(ended)
        exchange.on_end(settle)

    def settle(self, held: Held, call: Call) -> None:
        """Books what a call cost; where that is not known, what was reserved."""
        tokens, spent = call.tokens, dict[str, int]()
        for account in held.accounts:
            if account.unit == "usd" and call.cost is not None:
                spent[account.name] = call.cost
            elif account.unit == "tokens" and tokens is not None:
                spent[account.name] = tokens.prompt + tokens.output
        self._budgets.settle(held.id, spent)

    def release(self, id: str) -> None:
        """Gives a reservation back: no call was made, or none that anybody bills."""
        self._budgets.settle(id, None)

    async def _reserve(self, exchange: Exchange, holder: Holder, target: Target, worst: Worst) -> Held:
        left = max(0.0, exchange.limits.finish_by - exchange.clock.now())
        dies = math.ceil(self._clock.wall() + left + GRACE_S)
        return await self._take(self._clock.new_id("res_"), holder, target, worst, dies)

    async def _take(self, id: str, holder: Holder, target: Target, worst: Worst, dies: int) -> Held:
        if worst.cost is None and holder.pays:
            raise Limited(
                "permission",
                f"the price of the model {target.model[:200]!r} is not known, and this key has a budget in money",
                field="model",
                fix="add the model to the file of `prices`, or use a key without such a budget",
            )
        now = self._clock.wall()
        amounts = [(worst.cost or 0) if account.unit == "usd" else worst.tokens for account in holder.accounts]
        charges = [
            self.holders.charge(account, amount, now) for account, amount in zip(holder.accounts, amounts, strict=True)
        ]
        try:
            verdict = await self._budgets.reserve(id, charges, int(now), dies)
        except ConnectionError as error:
            _log.error("budgets cannot be reserved, and calls of keys with one are refused", error=error)
            message = "the budgets of this gateway cannot be read at the moment"
            raise Failure("unavailable", message, retry_after=SOON_S) from None
        if verdict.refused < 0:
            return Held(id, holder.accounts)
        self.refused += 1
        raise self._refusal(holder.accounts[verdict.refused], amounts[verdict.refused], verdict.standing, now)

    def _refusal(self, account: Account, amount: int, standing: Standing, now: float) -> Limited:
        ends = self.holders.ends(account, now)
        if standing.spent >= account.limit:
            self._spent[account.name] = ends if account.window.kind != "rolling" else int(now) + 1
            return self._over(account, ends)
        if standing.spent + amount > account.limit:
            left = _said(account, account.limit - standing.spent)
            return Limited(
                "budget",
                f"this call may cost {_said(account, amount)} at most, and {left} of a budget is left",
                fix="set a smaller max_tokens, or ask the operator for a larger budget",
            )
        return Limited(
            "rate_limited",
            "calls under way may use what is left of a budget",
            fix="try again when they have ended, or set a smaller max_tokens",
            retry_after=SOON_S,
        )

    def _over(self, account: Account, ends: float) -> Limited:
        wait = max(0, math.ceil(ends - self._clock.wall()))
        return Limited(
            "budget",
            f"a budget of {_said(account, account.limit)} is spent; more is free in {wait} s at the earliest",
            fix="wait, or ask the operator for a larger budget",
        )


def _said(account: Account, amount: int) -> str:
    return f"${dollars(amount)}" if account.unit == "usd" else f"{amount:,} tokens"


def _limits(rates: Sequence[Rate], levels: Sequence[float]) -> Limits:
    scarcest: dict[str, Standings] = {}
    for rate, level in zip(rates, levels, strict=True):
        limit = rate.limit
        missing = max(0.0, limit.capacity - level)
        standing = Standings(int(limit.capacity), max(0, int(level)), missing * limit.window_s / limit.amount)
        known = scarcest.get(rate.unit)
        if known is None or standing.remaining / standing.limit < known.remaining / known.limit:
            scarcest[rate.unit] = standing
    return Limits(scarcest.get("requests"), scarcest.get("tokens"))
