"""What stages ask about models and sizes: the catalog's limits, the learnt counts, the learnt lengths of answers."""

from __future__ import annotations

from hapenny.catalog import Catalog
from hapenny.core.exchange import Exchange, Target
from hapenny.routing.abilities import lacking
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.answer_stage import AnswerSizes

_CEILING = 4_096
"""Tokens of the longest answer of a model whose limit is unknown."""


class ModelFacts:
    """Answers for one configuration; what was learnt belongs to `prices` and `sizes`."""

    def __init__(self, catalog: Catalog, prices: Prices, sizes: AnswerSizes) -> None:
        self._catalog, self._prices, self._sizes = catalog, prices, sizes

    def size(self, exchange: Exchange) -> int:
        """Expected tokens of a prompt as it is now."""
        return self._prices.prompt(exchange.request, exchange.target)

    def lacks(self, exchange: Exchange, target: Target) -> tuple[str, ...]:
        """What a model is known to lack of what a request needs."""
        request = exchange.request
        return lacking(self._catalog.resolve(target.model), request, lambda: self._prices.prompt(request, target))

    def count(self, model: str, text: str) -> int:
        """Expected tokens of a text."""
        place = self._prices.place(Target(model))
        place.catch_up()
        return round(place.prompts.tokens(text))

    def most_output(self, model: str) -> int | None:
        """Tokens of a model's longest answer, if known."""
        card = self._catalog.resolve(model)
        return card.max_output if card is not None else None

    def ceiling(self, exchange: Exchange) -> int:
        """The same for the model that is to answer, with a guess for one nobody knows."""
        return self.most_output(exchange.target.model) or _CEILING

    def burndown(self, model: str) -> float:
        """Quota tokens that one output token burns."""
        card = self._catalog.resolve(model)
        return float(card.burndown) if card is not None else 1.0

    def prefills(self, exchange: Exchange) -> bool:
        """Whether the model goes on with an answer that was begun for it."""
        card = self._catalog.resolve(exchange.target.model)
        return card is not None and card.has("prefill")

    def predicted(self, exchange: Exchange) -> int | None:
        """Tokens of a typical answer to such a question."""
        return self._sizes.typical(exchange.intent)

    def learned_size(self, route: str, intent: str) -> int | None:
        """The limit learnt for answers of an intent."""
        return self._sizes.limit(intent)
