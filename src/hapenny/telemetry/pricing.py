"""Prices of targets, and the tokens a request would have cost on one: what the price walk and the estimates share."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from msgspec.structs import replace

from hapenny.catalog import Card, Rates, amount, region_class
from hapenny.catalog.naming import managed_prompt
from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Target
from hapenny.core.messages import Parameters, Request
from hapenny.counting import Estimator, Estimators
from hapenny.counting.features import SIZE
from hapenny.telemetry.capacity import PREPAID
from hapenny.telemetry.count_errors import ENOUGH, LOOKS, NEWEST, Misses
from hapenny.telemetry.layout import Layout
from hapenny.telemetry.outline import Outline
from hapenny.telemetry.prefixes import NOTHING, Split
from hapenny.telemetry.word_corrections import Bags, Words

OUTPUT = "#output"
"""Suffix of the estimator that counts what a model writes (its prompts carry markup, its answers do not)."""

MEDIA_TOKENS = 1_500.0
"""What an image or binary document counts until reported usage has taught better (Anthropic: about w*h/750)."""

CALM = 0.005
"""Relative errors below this teach nothing: data-selective updating (Diniz 2018) keeps repeated traffic cheap."""

_KEPT = 512
_LESSONS = 16
"""Reports that wait to be learnt from."""
_LESSON_CHARACTERS = 1 << 18
"""The same in bytes of their texts."""
_EVERY = 8
"""Of how many reports one is a lesson once counts are good; so it is of long requests, which cost more to read."""
_NONE = Parameters()
_COSTLY = 1 << 16
"""Bytes of a long request."""
_USUAL = 0.9
_PIECE = 0.4
"""Tokens by which a text that was cut may hold more than it would as a whole: it ends within what follows."""
_LONGEST = 4_096
"""Tokens of the longest answer of a model whose limit is unknown."""
SMALL = 16_384
"""Characters up to which a request's layout is kept when it is over: the doors decode equal bodies to one request, so
that one which comes again, as those of cache hits do, need not be read again."""


class Resolves(Protocol):
    """The catalog."""

    def resolve(self, name: str) -> Card | None:
        """The card of a model name."""


def never_owned(target: Target) -> bool:
    """Provisioned throughput and own servers cost nothing a request: their bill comes by the hour."""
    return target.service_tier in ("provisioned", "owned")


class Meter:
    """What is known of a (model, region): its card, its rates, the estimators of its prompts and answers.

    Models of one tokenizer share estimators and words: a baseline that nobody is sent to any more is counted well.
    """

    __slots__ = (
        "_due", "_due_size", "_last", "_rates", "_sizes", "_sure", "_turn", "answers", "card", "managed", "media",
        "missed", "missed_out", "prompts", "region", "template", "words",
    )  # fmt: skip

    def __init__(self, card: Card | None, region: str, prompts: Estimator, answers: Estimator, words: Words) -> None:
        self.card = card
        self.region = region
        self.prompts = prompts
        self.answers = answers
        self.words = words
        self.media = MEDIA_TOKENS
        self.template = 0
        """Tokens of the template that the provider puts before every prompt (a managed prompt's)."""
        self.managed = False
        """Whether the provider keeps the prompt: it is in reports and not in requests, which teaches nothing true."""
        self._last: tuple[object, float] = (None, 0.0)
        self._rates: dict[str, Rates] = {}
        self._sizes: deque[int] = deque(maxlen=NEWEST)
        self.missed = Misses()
        self.missed_out = Misses()
        self._due: list[tuple[Request, str, Tokens]] = []
        """Reports that nothing was learnt from yet."""
        self._due_size = self._turn = 0
        self._sure = False
        """Whether counts are good: then samples are lessons enough."""

    def rates(self, tier: str, wall: float) -> Rates | None:
        """The rates at `wall`; None: unknown."""
        card = self.card
        if card is None:
            return None
        if card.negotiated:
            return card.rates(tier, self.region, wall)
        rates = self._rates.get(tier)
        if rates is None:
            rates = card.rates(tier, self.region, wall)
            if rates is not None:  # a tier that there is, whatever else clients may write
                self._rates[tier] = rates
        return rates

    @property
    def learnt(self) -> tuple[int, int, int]:
        """What counts rest on: they are the same as long as this is."""
        if self._due:
            self.catch_up()
        return self.prompts.learned, self.answers.learned, self.words.learned

    def prompt(self, layout: Layout) -> int:
        """Expected prompt tokens."""
        tokens = self._prompt(layout)
        if layout.media:
            tokens += layout.media * self.media
        return max(1, round(tokens))

    def upto(self, layout: Layout, index: int) -> int:
        """Expected tokens of the segments up to and including `index`, and of what providers put before all of them."""
        if index >= len(layout.texts) - 1:
            return max(0, round(self._prompt(layout)))
        return max(0, round(self._running(layout)[index]))

    def output(self, text: str) -> int:
        """Expected tokens of generated text."""
        return max(1, round(self._output(text))) if text else 0

    def upper(self, layout: Layout, text: str) -> Tokens:
        """An upper bound (95 %) of what a call used that reported nothing."""
        if self._due:
            self.catch_up()
        prompts = self.prompts
        margin = self.missed.margin(lambda: prompts.margin(layout.measure(prompts.cache)))
        prompt = round(self._prompt(layout) * (1.0 + margin)) + round(2 * layout.media * self.media)
        return Tokens(input=prompt, output=self.most(text))

    def most(self, text: str) -> int:
        """An upper bound (95 %) of the tokens of generated text."""
        if not text:
            return 0
        if self._due:
            self.catch_up()
        answers = self.answers
        margin = self.missed_out.margin(lambda: answers.margin(answers.cache.segment(text)))
        return max(1, round(self._output(text) * (1.0 + margin) + _PIECE))

    def longest(self, request: Request) -> int:
        """Tokens of an answer of which nothing was seen: what nine in ten of the model's answers did not exceed, within
        the limit asked for; the limit itself while few are known."""
        if self._due:
            self.catch_up()
        limit = request.parameters.max_tokens or (self.card.max_output if self.card is not None else None) or _LONGEST
        if len(self._sizes) < ENOUGH:
            return limit
        ranked = sorted(self._sizes)
        return min(limit, ranked[min(len(ranked) - 1, int(_USUAL * len(ranked)))])

    def later(self, request: Request, outline: Outline, text: str, tokens: Tokens) -> None:
        """Keeps reported usage as a lesson, until a count is asked for or a few are there; `text` is the whole answer,
        or "" where it is not known. Where counts are good, a sample of the reports is enough."""
        size = len(text) + outline.size
        if self._sure or (size > _COSTLY and self.prompts.learned > LOOKS):
            self._turn += 1
            if self._turn % (_EVERY * max(1, size // _COSTLY)):  # long ones cost more, and teach no more
                return
        due = self._due
        due.append((_counted(request), text, tokens))
        self._due_size += size
        if len(due) >= _LESSONS or self._due_size > _LESSON_CHARACTERS or outline.media:
            self.catch_up()

    def catch_up(self) -> None:
        """Learns from what is due, in the order in which it came."""
        due = self._due
        if not due:
            return
        self._due, self._due_size = [], 0
        for request, text, tokens in due:
            self.learn(Layout(request), text, tokens)
        self._sure = self.missed.small and self.missed_out.small

    def learn(self, layout: Layout, text: str, tokens: Tokens) -> None:
        """Takes reported usage as a lesson; `text` is the whole answer, or "" where it is not known."""
        prompts, answers, words = self.prompts, self.answers, self.words
        counted = self._prompt(layout)
        missing = tokens.prompt - counted
        if not layout.media:
            self.missed.note(tokens.prompt, counted)
        if layout.media:
            self.media += 0.2 * (max(0.0, missing) / layout.media - self.media)
        elif abs(missing) > CALM * tokens.prompt:
            prompts.learn(layout.measure(prompts.cache), tokens.prompt)
            words.learn(layout.texts, tokens.prompt - self._prompt(layout), tokens.prompt)
        self._learn_tail(layout, tokens)
        if text:
            visible = self._output(text)
            count = tokens.output - hidden(tokens, visible)
            self._sizes.append(tokens.output)
            self.missed_out.note(count, visible)
            if count > 0 and abs(count - visible) > CALM * count:
                answers.learn(answers.cache.segment(text), count)
                words.learn((text,), count - self._output(text), count)

    def _learn_tail(self, layout: Layout, tokens: Tokens) -> None:
        """Where the prompt cache took in all up to the last point, what lies behind it was counted by itself: a lesson
        about the short part of a prompt, which one about the whole hardly is."""
        covered = tokens.cache_read + tokens.cache_write + tokens.cache_write_1h
        if not covered or not layout.points or layout.media or self.card is None or self.card.cache_mode != "explicit":
            return
        prompts, behind = self.prompts, layout.texts[layout.points[-1].at + 1 :]
        if not behind or tokens.input < 1:
            return
        vector = sum(map(prompts.cache.segment, behind), np.zeros(SIZE))
        counted = prompts.expected(vector) + self.words.extra(behind)
        if abs(tokens.input - counted) > CALM * tokens.input:
            prompts.learn(vector, tokens.input)
            self.words.learn(behind, tokens.input - prompts.expected(vector) - self.words.extra(behind), tokens.input)

    def _prompt(self, layout: Layout) -> float:
        if self._due:
            self.catch_up()
        estimator = self.prompts
        state = (estimator, estimator.learned, self.words.learned)
        if layout.counted is None or layout.counted[0] != state:
            tokens = estimator.expected(layout.measure(estimator.cache)) + self.words.extra(layout.texts)
            layout.counted = (state, tokens)
        return layout.counted[1] + self.template

    def _running(self, layout: Layout) -> list[float]:
        if self._due:
            self.catch_up()
        estimator, words = self.prompts, self.words
        state = (estimator, estimator.learned, words.learned)
        if layout.running is None or layout.running[0] != state:
            layout.running = (state, estimator.running(layout.texts, layout.offers, words.extras(layout.texts)))
        return layout.running[1]

    def _output(self, text: str) -> float:
        if self._due:
            self.catch_up()
        estimator = self.answers
        state = (estimator.learned, self.words.learned, text)
        if self._last[0] != state:
            self._last = (state, estimator.expected(estimator.cache.segment(text)) + self.words.extra((text,)))
        return self._last[1]


class Prices:
    """Places by target, layouts by request.

    Args:
        catalog: finds cards.
        estimators: count tokens and learn from reports.
        owned: whether a target's capacity is paid by the hour instead of by the call.
    """

    def __init__(
        self, catalog: Resolves, estimators: Estimators, owned: Callable[[Target], bool] = never_owned
    ) -> None:
        self._catalog = catalog
        self._estimators = estimators
        self._owned = owned
        self._places: OrderedDict[tuple[str, str, str, str], Meter] = OrderedDict()
        self._layouts: OrderedDict[int, tuple[Request, Layout]] = OrderedDict()
        self._canonical: dict[str, str] = {}
        self._templates: dict[str, int] = {}
        self._bags = Bags()
        self._words: OrderedDict[str, Words] = OrderedDict()

    def place(self, target: Target) -> Meter:
        """What is known of where a call goes."""
        key = (target.model, target.region, target.backend, target.geo)
        place = self._places.get(key)
        if place is None:
            card = self._catalog.resolve(target.model)
            provider, model = (target.backend, target.model) if card is None else (card.provider, card.id)
            family = f"tokenizer {card.tokenizer}" if card is not None and card.tokenizer else model
            place = self._places[key] = Meter(
                card,
                f"geo:{target.geo}" if target.geo else region_class(target.model, target.region),
                self._estimators.join(provider, model, family),
                self._estimators.join(provider + OUTPUT, model, family),
                self._family(f"{provider}/{family}"),
            )
            place.template = self._templates.get(target.model, 0)
            place.managed = managed_prompt(target.model)
            if len(self._places) > _KEPT:
                self._places.popitem(last=False)[1].catch_up()
        return place

    def templated(self, model: str, tokens: int) -> None:
        """The provider puts a template of so many tokens before every prompt of `model`."""
        self._templates[model] = tokens
        for (known, *_), place in self._places.items():
            if known == model:
                place.template = tokens

    def _family(self, name: str) -> Words:
        words = self._words.get(name)
        if words is None:
            words = self._words[name] = Words(self._bags)
            if len(self._words) > _KEPT:
                self._words.popitem(last=False)
        return words

    def canonical(self, model: str) -> str:
        """The catalog's own id of a model, however it was called; its name where the catalog does not know it."""
        known = self._canonical.get(model)
        if known is None:
            card = self._catalog.resolve(model)
            known = model if card is None else card.id
            if len(self._canonical) < _KEPT:
                self._canonical[model] = known
        return known

    def price(self, target: Target, tokens: Tokens, wall: float) -> int | None:
        """Nano-dollars; 0 for owned capacity, None where the price is unknown."""
        if target.service_tier in PREPAID and self._owned(target):
            return 0
        place = self.place(target)
        rates = place.rates(target.service_tier, wall)
        return None if rates is None else amount(rates, tokens, card=place.card)

    def bound(self, call: Call) -> Tokens:
        """An upper bound of what a call used that ended before it reported: what its provider said of the prompt when
        it accepted, else our count of it with the prompt cache's part as expected; and what it had generated."""
        place, request = self.place(call.target), call.request
        assert request is not None
        text = "".join(call.output)
        unseen = place.longest(request) if call.outcome == "failed" and not text and not request.stream else 0
        if call.accepted is not None:
            return replace(call.accepted, output=place.most(text) or unseen)
        counted = place.upper(self.layout(request), text)
        counted = replace(counted, output=counted.output or unseen)
        return self._cached(call, place, counted)

    def like(self, call: Call, tokens: Tokens) -> Tokens:
        """What a call used whose very request used `tokens` another time."""
        text = "".join(call.output)
        place = self.place(call.target)
        output = place.most(text) if text or call.began is not None else tokens.output
        if call.accepted is not None:
            return replace(call.accepted, output=output)
        return self._cached(call, place, Tokens(input=tokens.prompt, output=output))

    @staticmethod
    def _cached(call: Call, place: Meter, counted: Tokens) -> Tokens:
        """`counted` with the prompt cache's part as it is expected."""
        if call.cached is None:
            return counted
        rates = place.rates(call.target.service_tier, 0.0)
        return counted if rates is None else divided(counted.input, counted.output, Split(*call.cached), rates)

    def owned(self, target: Target) -> bool:
        """Whether the target is paid by the hour."""
        return target.service_tier in PREPAID and self._owned(target)

    def catch_up(self) -> None:
        """Learns from all reports that wait for it: before what was learnt is written down."""
        for place in self._places.values():
            place.catch_up()

    def layout(self, request: Request) -> Layout:
        """The segments of a request, kept while it is under way; those of small ones that come again longer."""
        kept = self._layouts.get(id(request))
        if kept is not None and kept[0] is request:
            return kept[1]
        layout = Layout(request)
        self._layouts[id(request)] = (request, layout)
        if len(self._layouts) > _KEPT:
            self._layouts.popitem(last=False)
        return layout

    def release(self, request: Request) -> None:
        """The request is over: lets go of it, unless it is small and comes again."""
        kept = self._layouts.get(id(request))
        if kept is not None and kept[0] is request and not (request.recurs and kept[1].size <= SMALL):
            del self._layouts[id(request)]

    def prompt(self, request: Request, target: Target) -> int:
        """Expected prompt tokens of a request."""
        return self.place(target).prompt(self.layout(request))

    def output(self, text: str, target: Target) -> int:
        """Expected tokens of an answer."""
        return self.place(target).output(text)


def _counted(request: Request) -> Request:
    """What is counted of a request: it waits to be learnt from, and the rest can be of any size."""
    if request.user is None and not request.metadata and not request.extras and not request.parameters.stop:
        return request
    return replace(request, user=None, metadata={}, extras={}, parameters=_NONE)


def divided(prompt: int, output: int, split: Split, rates: Rates) -> Tokens:
    """A prompt by how the prompt cache treats it; a lifetime or discount without a price is one that is not sold."""
    if split is NOTHING:
        return Tokens(input=prompt, output=output)
    read, write, write_1h = split
    if rates.cache_write_1h is None:
        write, write_1h = write + write_1h, 0
    if rates.cache_write is None:
        write = 0
    if rates.cache_read is None:
        read = 0
    return Tokens(
        input=max(0, prompt - read - write - write_1h),
        output=output, cache_read=read, cache_write=write, cache_write_1h=write_1h,
    )  # fmt: skip


def hidden(tokens: Tokens, visible: float) -> int:
    """How many output tokens are reasoning that was not sent: all of it, unless the text itself accounts for it."""
    return tokens.reasoning if tokens.reasoning and visible < tokens.output - tokens.reasoning / 2 else 0
