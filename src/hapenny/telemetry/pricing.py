"""Prices of targets, and the tokens a request would have cost on one: what the price walk and the estimates share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from hapenny.catalog import Card, Rates, amount, region_class
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.messages import Request
from hapenny.counting import Estimator, Estimators
from hapenny.telemetry.layout import PARTS, Layout
from hapenny.telemetry.prefixes import NOTHING, Prefixes, Split, Weigher

OUTPUT = "#output"
"""Suffix of the estimator that counts what a model writes (its prompts carry markup, its answers do not)."""

MEDIA_TOKENS = 1_500.0
"""What an image or binary document counts until reported usage has taught better (Anthropic: about w*h/750)."""

WARM = 256
"""Reports after which an estimator learns from every `SAMPLE`th only: CPU for nothing otherwise."""
SAMPLE = 4

_KEPT = 512


class Resolves(Protocol):
    """The catalog."""

    def resolve(self, name: str) -> Card | None:
        """The card of a model name."""


def never_owned(target: Target) -> bool:
    """Provisioned throughput and own servers cost nothing a request: their bill comes by the hour."""
    return target.service_tier in ("provisioned", "owned")


class Prices:
    """Cards, rates and estimators by target.

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
        self._found: OrderedDict[tuple[str, str], tuple[Card | None, str]] = OrderedDict()
        self._layouts: OrderedDict[int, tuple[Request, Layout]] = OrderedDict()
        self._media: OrderedDict[str, float] = OrderedDict()
        self._reports = 0

    def card(self, target: Target) -> tuple[Card | None, str]:
        """The card and the region class of a target."""
        key = (target.model, target.region)
        found = self._found.get(key)
        if found is None:
            found = (self._catalog.resolve(target.model), region_class(target.model, target.region))
            self._found[key] = found
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return found

    def forget_cards(self) -> None:
        """After the catalog has changed."""
        self._found.clear()

    def rates(self, target: Target, wall: float, tier: str | None = None) -> Rates | None:
        """The rates of a target at `wall`; None: unknown."""
        card, region = self.card(target)
        return None if card is None else card.rates(tier or target.service_tier, region, wall)

    def price(self, target: Target, tokens: Tokens, wall: float, tier: str | None = None) -> int | None:
        """Nano-dollars; 0 for owned capacity, None where the price is unknown."""
        if tier is None and self._owned(target):
            return 0
        rates = self.rates(target, wall, tier)
        return None if rates is None else amount(rates, tokens)

    def layout(self, request: Request) -> Layout:
        """The segments of a request, kept while it is under way."""
        found = self._layouts.get(id(request))
        if found is not None and found[0] is request:
            return found[1]
        layout = Layout(request)
        self._layouts[id(request)] = (request, layout)
        if len(self._layouts) > _KEPT:
            self._layouts.popitem(last=False)
        return layout

    def release(self, request: Request) -> None:
        """The request is over: lets go of its text."""
        self._layouts.pop(id(request), None)

    def estimator(self, target: Target) -> Estimator:
        """Counts prompts."""
        card, _ = self.card(target)
        if card is None:
            return self._estimators.get(target.backend, target.model)
        return self._estimators.get(card.provider, card.id)

    def output_estimator(self, target: Target) -> Estimator:
        """Counts answers."""
        card, _ = self.card(target)
        if card is None:
            return self._estimators.get(target.backend + OUTPUT, target.model)
        return self._estimators.get(card.provider + OUTPUT, card.id)

    def prompt(self, request: Request, target: Target) -> int:
        """Expected prompt tokens."""
        layout, estimator = self.layout(request), self.estimator(target)
        tokens = estimator.expected(layout.measure(estimator.cache))
        if layout.media:
            tokens += layout.media * self._media.get(target.model, MEDIA_TOKENS)
        return max(1, round(tokens))

    def output(self, text: str, target: Target) -> int:
        """Expected tokens of generated text."""
        if not text:
            return 0
        estimator = self.output_estimator(target)
        return max(1, round(estimator.expected(estimator.cache.request((text,)))))

    def upper(self, request: Request, text: str, target: Target) -> Tokens:
        """An upper bound (95 %) of what a call used that reported nothing."""
        layout, estimator = self.layout(request), self.estimator(target)
        prompt = estimator.estimate(layout.measure(estimator.cache)).upper
        if layout.media:
            prompt += round(2 * layout.media * self._media.get(target.model, MEDIA_TOKENS))
        return Tokens(input=prompt, output=self.output_estimator(target).count(text).upper if text else 0)

    def parts(self, request: Request, target: Target) -> dict[str, int]:
        """Expected prompt tokens by part; empty parts are left out."""
        layout, estimator = self.layout(request), self.estimator(target)
        layout.measure(estimator.cache)
        counts = {}
        for kind, name in enumerate(PARTS):
            vector = layout.part(kind)
            if vector is not None:
                counts[name] = max(0, round(estimator.expected(vector)))
        return counts

    def split(
        self,
        prefixes: Prefixes,
        world: tuple[object, ...],
        request: Request,
        target: Target,
        start: float,
        began: float,
    ) -> Split:
        """What the prompt cache of `target` would do with the request in `world`."""
        card, _ = self.card(target)
        if card is None or card.cache_mode is None:
            return NOTHING
        layout = self.layout(request)
        if card.cache_mode == "explicit" and not layout.points:
            return NOTHING
        return prefixes.split(
            (*world, card.id), layout, Weigher(self.estimator(target)),
            mode=card.cache_mode, minimum=card.cache_min or 0, start=start, began=began,
        )  # fmt: skip

    def learn(self, request: Request, text: str, target: Target, tokens: Tokens, whole_answer: bool) -> None:
        """Takes reported usage as a lesson, for prompts and, where the whole answer is known, for answers."""
        layout, estimator = self.layout(request), self.estimator(target)
        self._reports += 1
        if layout.media:
            self._learn_media(layout, estimator, target, tokens.prompt)
        elif estimator.learned < WARM or self._reports % SAMPLE == 0:
            estimator.learn(layout.measure(estimator.cache), tokens.prompt)
        if text and whole_answer:
            answers = self.output_estimator(target)
            if answers.learned < WARM or self._reports % SAMPLE == 0:
                vector = answers.cache.request((text,))
                count = tokens.output - hidden(tokens, answers.expected(vector))
                if count > 0:
                    answers.learn(vector, count)

    def _learn_media(self, layout: Layout, estimator: Estimator, target: Target, reported: int) -> None:
        rest = reported - estimator.expected(layout.measure(estimator.cache))
        known = self._media.get(target.model, MEDIA_TOKENS)
        self._media[target.model] = known + 0.2 * (max(0.0, rest) / layout.media - known)
        if len(self._media) > _KEPT:
            self._media.popitem(last=False)


def hidden(tokens: Tokens, visible: float) -> int:
    """How many output tokens are reasoning that was not sent: all of it, unless the text itself accounts for it."""
    return tokens.reasoning if tokens.reasoning and visible < tokens.output - tokens.reasoning / 2 else 0
