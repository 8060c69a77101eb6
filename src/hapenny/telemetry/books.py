"""The books: settles calls as they end and closes each exchange with the price walk of design §3.1.

C0 is the request as it came on the baseline model, on demand, standard tier, one attempt, with the client's own cache
points honoured and the output that was really delivered. Each step is priced again by the same function; what a
technique saved is the difference. All of it is on estimator counts; what was really paid comes from the calls alone.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b, sha256

from msgspec.structs import replace

from hapenny.catalog import amount
from hapenny.core.clock import Clock
from hapenny.core.events import Tokens
from hapenny.core.exchange import SERVING, Call, Exchange, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Request
from hapenny.core.money import Totals, Walk, walk
from hapenny.core.notes import Note
from hapenny.core.passages import BASELINE_PASSAGES
from hapenny.core.shape import OfRequests
from hapenny.counting import Estimators
from hapenny.telemetry.baseline import State, added_passages, with_passages
from hapenny.telemetry.capacity import PREPAID
from hapenny.telemetry.layout import Layout, has_points
from hapenny.telemetry.leave_one_out import ALONE, Alone, Part, alone
from hapenny.telemetry.outline import Outlines
from hapenny.telemetry.prefixes import NOTHING, Prefixes, Split
from hapenny.telemetry.pricing import SMALL, Meter, Prices, Resolves, divided, hidden, never_owned
from hapenny.telemetry.row_builder import REFUSALS, make_row
from hapenny.telemetry.rows import Row
from hapenny.telemetry.settling import UNBILLED, plausible, refine, settle, settle_prefix, split, whole

__all__ = ["UNBILLED", "Books", "Row"]

_WALKED: Note[tuple[tuple[int, int, bool, int, bool], Walk]] = Note("books.walk")
"""The last price walk, and how the exchange stood at it."""
_SPLITS: Note[dict[int, Split]] = Note("books.splits")
"""What each step would have read of the provider's prompt cache and written to it, by its place."""
_LONG = 256
"""Bytes from which it is quicker to shorten a text before it is fingerprinted."""


class Books:
    """Prices calls and requests, and asserts that the sums add up.

    Args:
        catalog: finds model cards by name.
        estimators: count tokens; taught here by reported usage.
        clock: the deployment's clock.
        key: keys the fingerprints of users, sessions and questions; drawn when empty.
        owned: whether a target is paid by the hour (its calls cost 0, its bill is a capacity row).
    """

    def __init__(
        self,
        catalog: Resolves,
        estimators: Estimators,
        clock: Clock,
        *,
        key: bytes = b"",
        owned: Callable[[Target], bool] = never_owned,
    ) -> None:
        self.prices = Prices(catalog, estimators, owned)
        self._clock = clock
        self._key = (key or clock.secret())[:64]
        self._prefixes = Prefixes()
        self._outlines = Outlines(self.fingerprint)
        self._answered = OfRequests[tuple[Target, tuple[int, int, int], str, int | None]]()
        self._log = get_logger("hapenny.books")
        self.violations = 0
        """Rows whose identity did not hold (always 0, or there is a bug)."""
        self.unpriced = 0
        self.closed = 0
        self.implausible = 0
        """Reports of usage that cannot be true."""

    def plausible(self, call: Call, tokens: Tokens) -> bool:
        """Whether a report of usage can be true; one that cannot is logged, counted, and left out of books, quotas and
        all that is learnt."""
        try:
            if plausible(call, tokens, self.prices):
                return True
        except Exception as error:
            self._log.error("report not checked", call=call.id, error=type(error).__name__)
            return True
        self.implausible += 1
        self._log.warning(
            "a provider's usage cannot be true and is left out",
            call=call.id,
            model=call.target.model,
            prompt_tokens=str(tokens.prompt)[:24],
            output_tokens=str(tokens.output)[:24],
        )
        return False

    # -- calls ---------------------------------------------------------------------------------------------------

    def settle(self, call: Call) -> None:
        """Sets tokens, provenance and cost of a call that ended (a hook for `Exchange.on_call`). Never raises."""
        try:
            settle(call, self.prices, self._clock.wall())
            if call.provenance == "estimated" and call.cached is None and call.ended is not None:
                # An answer that was lost had its prompt cached all the same.
                self._follow(call, call.ended, self._clock.wall() - self._clock.now())
                refine((call,), self.prices, self._clock.wall())
        except Exception as error:
            self._log.error("call not settled", call=call.id, error=type(error).__name__)

    def _learn(self, exchange: Exchange) -> None:
        """Takes what the providers of an exchange's calls reported as lessons, each once. They are learnt when a count
        is asked for next, or when a few have come."""
        since = exchange.wall - exchange.arrived
        for call in exchange.calls:
            if not call.lesson or call.request is None or call.tokens is None:
                continue
            call.lesson = False
            try:
                text = "".join(call.output) if call.outcome == "complete" else ""
                place = self.prices.place(call.target)
                if place.managed:
                    continue
                place.later(call.request, self._outlines.of(call.request), text, call.tokens)
                if call.cached is not None and call.began is not None:
                    layout = self.prices.layout(call.request)
                    settle_prefix(
                        self._prefixes, _world(call.target), layout, place, call.tokens,
                        since + call.started, since + call.began,
                    )  # fmt: skip
            except Exception as error:
                self._log.error("report not learnt", call=call.id, error=type(error).__name__)

    def _refine(self, exchange: Exchange) -> None:
        """Settles calls that reported nothing again, by what a later attempt reported. Never raises."""
        for call in exchange.calls:
            if call.provenance == "estimated":
                break
        else:
            return
        try:
            refine(exchange.calls, self.prices, self._clock.wall())
        except Exception as error:
            self._log.error("calls not settled again", request=exchange.id, error=type(error).__name__)

    def expect(self, call: Call) -> None:
        """Counts the prompt of a call under way, before its price is asked for. Never raises."""
        try:
            if call.request is not None and call.outcome == "open":
                self.prices.prompt(call.request, call.target)
        except Exception as error:
            self._log.error("prompt not counted", call=call.id, error=type(error).__name__)

    def begun(self, exchange: Exchange, call: Call) -> None:
        """A call has begun to answer: what it wrote to the provider's prompt cache can be read by calls that come from
        now on, whichever of them is closed first. Never raises."""
        if call.request is None or call.began is None:
            return
        try:
            self._follow(call, call.began, exchange.wall - exchange.arrived)
        except Exception as error:
            self._log.error("prefix not followed", call=call.id, error=type(error).__name__)

    def _follow(self, call: Call, began: float, wall: float) -> None:
        """Notes what the provider's prompt cache does with a call that can be read from `began` on; `wall` brings the
        clock's times to the wall's."""
        request, target = call.request, call.target
        if request is None:
            return
        place = self.prices.place(target)
        if place.card is None or place.card.cache_mode is None:
            return
        if place.card.cache_mode == "explicit" and not has_points(request):
            return
        layout = self.prices.layout(request)
        call.cached = split(self._prefixes, _world(target), layout, place, wall + call.started, wall + began)

    def count(self, request: Request, target: Target) -> int:
        """Expected prompt tokens of a request that is not (yet) sent."""
        tokens = self.prices.prompt(request, target)
        self.prices.release(request)
        return tokens

    # -- exchanges -----------------------------------------------------------------------------------------------

    def walk(self, exchange: Exchange, *, delivered: bool | None = None) -> Walk:
        """The money of an exchange as things stand; calls still open are left out.

        Args:
            exchange: priced, not changed (results are kept on it).
            delivered: for headers that go out before delivery is a fact.
        """
        if delivered is None:
            delivered = exchange.delivered
        calls = exchange.calls
        settled = 0
        for call in calls:
            settled += call.outcome != "open"
        mark = (settled, len(calls), delivered, len(exchange.output), exchange.failure is None)
        known = exchange.stage_notes.get(_WALKED)
        if known is not None and known[0] == mark:
            return known[1]
        if calls:
            self._refine(exchange)
        adopted = self._adopted(exchange, delivered)
        prices: list[tuple[str, int | None]] = [("", 0)]
        parts: list[Part] = []
        if self._compared(exchange, delivered):
            if adopted is not None and self.untouched(exchange, adopted):
                prices = [("", adopted.cost)]
            elif exchange.passthrough:  # not understood: nothing was changed, so it costs what it costs
                prices = [("", adopted.cost if adopted is not None else None)]
            elif not calls and (asked := self._asked_again(exchange)) is not None:
                prices = asked
            else:
                self._learn(exchange)
                prices, parts = self._steps(exchange, adopted)
        else:
            adopted = None
        others: list[tuple[str, int | None]] = []
        for call in calls:
            if call is not adopted and call.outcome != "open":
                others.append((call.technique, call.cost))
        result = walk(prices, others, 0 if adopted is None else adopted.cost)
        exchange.stage_notes[_WALKED] = (mark, result)
        steps = exchange.steps
        freed = steps[-1].technique if adopted is None and steps and steps[-1].free else ""
        if freed and not others:
            exchange.stage_notes[ALONE] = Alone({}, freed)
        elif len(parts) > 1 or others:  # else no technique did anything that could be taken out
            exchange.stage_notes[ALONE] = Alone(alone([] if freed else parts, others), freed)
        return result

    def totals(self, exchange: Exchange) -> Totals:
        """What an exchange all of whose calls are settled has cost and saved. Never raises."""
        money = self._walked(exchange)
        return Totals(money.actual, money.saved, money.savings)

    @staticmethod
    def untouched(exchange: Exchange, adopted: Call) -> bool:
        """Whether a request was served as it came, and its provider counted it: nothing is estimated for it, since
        without us it would have cost the same."""
        return (
            adopted.request is exchange.original
            and adopted.provenance == "reported"
            and adopted.outcome == "complete"
            and not exchange.steps
            and BASELINE_PASSAGES not in exchange.stage_notes
            and not exchange.passthrough
            and adopted.target == exchange.baseline
            and adopted.target.service_tier not in PREPAID
        )

    @staticmethod
    def _compared(exchange: Exchange, delivered: bool) -> bool:
        """Whether there is an answer that reached somebody, to be compared with what it would have cost."""
        answered = exchange.failure is None and exchange.stopped not in REFUSALS
        return delivered and answered and not exchange.background

    def _walked(self, exchange: Exchange) -> Walk:
        try:
            return self.walk(exchange)
        except Exception as error:
            self._log.error("request not priced", request=exchange.id, error=type(error).__name__)
            return Walk(baseline=None, savings={}, estimate_error=None, actual=None)

    def close(self, exchange: Exchange) -> Row:
        """The finished row of an exchange all of whose calls are settled. Never raises."""
        money = self._walked(exchange)
        if money.actual is None or money.baseline is None:
            self.unpriced += 1
        elif not self._holds(exchange, money):
            self.violations += 1
            self._log.error("identity violated", request=exchange.id, route=exchange.route, calls=len(exchange.calls))
        self.closed += 1
        adopted, original = self._adopted(exchange, exchange.delivered), exchange.original
        if exchange.calls:
            self._learn(exchange)
        row = make_row(
            exchange, money, adopted, self.prices, self._outlines.of(original), self.fingerprint,
            untouched=adopted is not None and money.baseline == adopted.cost and self.untouched(exchange, adopted),
        )  # fmt: skip
        self.prices.release(original)
        for step in exchange.steps:
            self.prices.release(step.request)
        if BASELINE_PASSAGES in exchange.stage_notes:
            for request in added_passages(exchange):
                self.prices.release(request)
        for call in exchange.calls:
            if call.request is not None:
                self.prices.release(call.request)
        return row

    def fingerprint(self, text: str) -> bytes:
        """A keyed hash of 128 bits: equal texts are equal, nothing else can be told."""
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > _LONG:  # processors have SHA-256 built in
            data = sha256(data).digest()
        return blake2b(data, digest_size=16, key=self._key).digest()

    @staticmethod
    def _holds(exchange: Exchange, money: Walk) -> bool:
        paid = 0
        for call in exchange.calls:
            paid += call.cost or 0
        return money.balanced and money.actual == paid

    @staticmethod
    def _adopted(exchange: Exchange, delivered: bool) -> Call | None:
        """The call that delivered the answer; where nobody said, the last serving call that produced anything."""
        if exchange.adopted is not None or not delivered:
            return exchange.adopted
        if exchange.steps and exchange.steps[-1].free:
            return None
        for call in reversed(exchange.calls):
            if call.purpose in SERVING and call.outcome in ("complete", "abandoned"):
                return call
        return None

    def _asked_again(self, exchange: Exchange) -> list[tuple[str, int | None]] | None:
        """The prices of a request that was answered for nothing and is the very one that got the same answer before:
        what it would have cost is counted once, until more is learnt. None: `_steps` has to say, for any other request
        and where a provider's prompt cache or negotiated rates make the price another one each time."""
        steps, original, target = exchange.steps, exchange.original, exchange.baseline
        if len(steps) != 1 or not steps[0].free or steps[0].request is not original or self.prices.owned(target):
            return None
        if exchange.answer.passages or BASELINE_PASSAGES in exchange.stage_notes:
            return None
        place = self.prices.place(target)
        card = place.card
        if card is None or card.cache_mode is not None or card.negotiated:
            return None
        known, learnt = self._answered.get(original), place.learnt
        if known is not None and known[:3] == (target, learnt, exchange.output):
            return [("", known[3]), (steps[0].technique, 0)]
        price = self._steps(exchange, None)[0][0][1]
        if original.recurs:
            small = len(exchange.output) <= SMALL and self.prices.layout(original).size <= SMALL
            self._answered.put(original, (target, learnt, exchange.output, price), small=small)
        return [("", price), (steps[0].technique, 0)]

    def _steps(self, exchange: Exchange, adopted: Call | None) -> tuple[list[tuple[str, int | None]], list[Part]]:
        """(technique, price) from the baseline to what was served; and the same by what is paid for."""
        states = self._states(exchange, adopted)
        book, text = self.prices, exchange.output
        reasoning, fee, apart = 0, 0, 0
        if adopted is not None and adopted.tokens is not None:
            if adopted.tokens.reasoning:
                reasoning = hidden(adopted.tokens, book.output(text, adopted.target))
            if adopted.tokens.units:
                fee, apart = self._beside(adopted)
        # A stored answer saves what the application would have sent with the question, too.
        passages = exchange.answer.passages if states[-1].free else 0
        start = exchange.wall
        began = start + (exchange.first_out - exchange.arrived if exchange.first_out is not None else 0.0)
        splits = exchange.stage_notes.setdefault(_SPLITS, {})
        prices: list[tuple[str, int | None]] = []
        parts: list[Part] = []
        last = len(states) - 1
        before: tuple[Layout, Meter, int, int] | None = None
        for index, (technique, request, target, free) in enumerate(states):
            if free:
                prices.append((technique, 0))
                continue
            layout, place = book.layout(request), book.place(target)
            if before is not None and before[0] is layout and before[1].prompts is place.prompts:
                prompt, output = before[2], before[3]
            else:
                prompt, output = max(0, place.prompt(layout) - apart), place.output(text) + reasoning
            before = (layout, place, prompt, output)
            prompt += passages
            cached = splits.get(index)  # a second walk must not take the first one's writes for somebody else's
            if cached is None and index == last > 0 and adopted is not None and adopted.cached is not None:
                cached = splits[index] = Split(*adopted.cached)
            if cached is None:
                world = _world(target) if index == last else (technique or "baseline", *_world(target))
                cached = splits[index] = split(self._prefixes, world, layout, place, start, began)
            if index and book.owned(target):
                prices.append((technique, 0))
                parts.append(Part(technique, 0, 0))
                continue
            rates = place.rates(target.service_tier if index else "standard", start)
            if rates is None:
                prices.append((technique, None))
                continue
            if cached is not NOTHING:
                prompt = whole(self._prefixes, layout, place, prompt)
            price = amount(rates, divided(prompt, output, cached, rates))
            prices.append((technique, None if price is None else price + fee))
            if last and price is not None:
                asked = amount(rates, divided(prompt, 0, cached, rates)) or 0
                parts.append(Part(technique, asked, price - asked))
        return prices, parts

    def _states(self, exchange: Exchange, adopted: Call | None) -> list[State]:
        """The request as it stood behind each technique, where it went then, and whether nothing was left to pay."""
        original, baseline = exchange.original, exchange.baseline
        states = [State("", original, baseline, False)]
        if self.prices.owned(baseline):
            on_demand = replace(baseline, service_tier="standard")
            states = [State("", original, on_demand, False), State(baseline.service_tier, original, baseline, False)]
        for step in exchange.steps:
            states.append(State(step.technique, step.request, step.target, step.free))
        if BASELINE_PASSAGES in exchange.stage_notes:
            states = with_passages(exchange, states)
        if adopted is None:
            return states
        served, geo = adopted.target, adopted.target.geo
        if geo:  # where the provider says it ran, it would have run without us too
            states = [
                state._replace(target=replace(state.target, geo=geo))
                if state.target.backend == served.backend
                else state
                for state in states
            ]
        _, request, target, free = states[-1]
        sent = adopted.request or request
        if free or sent is not request or served != target:
            if self.prices.owned(served) and not self.prices.owned(target):
                technique = served.service_tier
            else:
                technique = self._last_technique(exchange, adopted, target, sent is not request)
            states.append(State(technique, sent, served, False))
        return states

    def _beside(self, adopted: Call) -> tuple[int, int]:
        """What the answer cost beside text, which it would have cost without us too, and how many tokens of the prompt
        that were: nano-dollars, tokens. 0 where a price is unknown: then the call has none either."""
        assert adopted.tokens is not None
        units = Tokens(units=adopted.tokens.units)
        fee = 0 if self.prices.owned(adopted.target) else self.prices.price(adopted.target, units, self._clock.wall())
        return fee or 0, units.prompt

    @staticmethod
    def _last_technique(exchange: Exchange, adopted: Call, target: Target, changed: bool) -> str:
        if changed or adopted.target.model != target.model:
            return adopted.technique
        if adopted.target != adopted.sent or (
            adopted.target.service_tier != target.service_tier and exchange.original.parameters.service_tier
        ):
            return "service_tier"  # asked for by the client itself, or chosen by the provider
        return "throughput"


def _world(target: Target) -> tuple[object, ...]:
    """The provider's own prompt cache: one for all who call by the same account. What stands before it names whose
    traffic is followed: without us (baseline), or with the techniques so far."""
    return ("provider", target.backend, target.region)
