"""The prune stage: of retrieved passages only what the question needs goes to the model.

Each turn's context is pruned by that turn's own question, and what was decided is remembered: when the conversation
comes back with the whole text the same bytes are sent again, and the provider's cached prefix holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.arms import arm_setting
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request, Text
from hapenny.core.notes import Note
from hapenny.core.passages import STORED_SENTENCES
from hapenny.core.shape import LISTED, MARKUP, RICH, TOOL_TURNS
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.context import SYSTEM, Piece, Turn, context_turns, rewrite, rewrite_system
from hapenny.tokens.money import counter, worth
from hapenny.tokens.options import PRUNE_STAGE, PruneOptions
from hapenny.tokens.passages import Cost, Passage, aligned, analyse
from hapenny.tokens.prune import Pruned, prune

# Measured on an idle core, with room: what analysing a character and scoring a token will take, in seconds.
_ANALYSIS = 0.5e-6
_SCORING = 1.4e-6


class Pruning(Decision):
    """Tokens of context before and after, the evidence expected to stay, duplicates and passages the limit let pass."""

    before: int = 0
    after: int = 0
    mass: float = 1.0
    duplicates: int = 0
    unread: int = 0


class PruneOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one turn's passages, without their text: indices of kept units, None for a passage unread."""

    kept: tuple[tuple[int, ...] | None, ...]
    before: float
    after: float
    mass: float
    duplicates: int
    order: tuple[int, ...] = ()


_PRUNED: Note[Request] = Note("prune.request")


class PruneStage(Stage, spec=PRUNE_STAGE):
    """Prunes documents, passages in texts and the system prompt, and search results.

    Passages in the system prompt are left alone where that comes again with another question, or goes on before
    further turns: what stays the same is read from the provider's prompt cache for less than pruning would save.
    Stored sentence vectors are used where retrieval left them (`core.passages`).
    """

    needs = LISTED | MARKUP | RICH | TOOL_TURNS

    def __init__(self, prices: Prices, options: PruneOptions, *, remembered: int = 4096, analysed: int = 1024) -> None:
        self._prices = prices
        self._options = options
        self._remembered = remembered
        self._known: OrderedDict[int, PruneOutcome] = OrderedDict()
        self._analysed: OrderedDict[int, Passage] = OrderedDict()
        self._most_analysed = analysed
        self._systems: OrderedDict[int, int] = OrderedDict()

    def ingest(self, title: str, text: str, cost: Cost) -> None:
        """Analyse a chunk when it is indexed, so that no request has to wait for it."""
        self._passage(title, text, cost)

    def _passage(self, title: str, text: str, cost: Cost) -> Passage:
        key = hash((title, text))
        known = self._analysed.get(key)
        if known is None:
            known = self._analysed[key] = analyse(title, text, cost)
            if len(self._analysed) > self._most_analysed:
                self._analysed.popitem(last=False)
        else:
            self._analysed.move_to_end(key)
        return known

    async def decide(self, exchange: Exchange, ask: Ask) -> Pruning | None:
        """None when there is no context, or nothing of it goes."""
        request = exchange.request
        turns = context_turns(request.messages, self._options.tools, request.system)
        if turns and turns[0].pieces[0].message == SYSTEM and self._comes_again(request, turns[0].question):
            turns = turns[1:]
        if not turns:
            return None
        count = counter(self._prices, exchange)
        until = exchange.clock.now() + self._options.seconds
        outcomes = [(turn, self._outcome(turn, count, exchange, until)) for turn in turns]
        changes = [change for turn, outcome in outcomes for change in self._changes(turn, outcome, count)]
        if all(text == piece.text for piece, text in changes) and not any(
            list(outcome.order) != sorted(outcome.order) for _, outcome in outcomes
        ):
            return None
        order = [turn.pieces[place] for turn, outcome in outcomes for place in outcome.order]
        exchange.stage_notes[_PRUNED] = replace(
            request,
            messages=rewrite(request.messages, changes, order),
            system=rewrite_system(request.system, changes, order),
        )
        before = sum(outcome.before for _, outcome in outcomes)
        after = sum(outcome.after for _, outcome in outcomes)
        last = outcomes[-1][1]
        return Pruning(
            before=round(before),
            after=round(after),
            mass=round(min(outcome.mass for _, outcome in outcomes), 4),
            duplicates=last.duplicates,
            unread=sum(kept is None for kept in last.kept),
            would_save=worth(self._prices, exchange, before - after),
            reason=f"{round(after)} of {round(before)} tokens of context",
        )

    async def apply(self, decision: Pruning, exchange: Exchange, onward: Onward) -> Answer:
        """Sends what stays."""
        exchange.request = exchange.stage_notes.pop(_PRUNED)
        return await onward(exchange)

    def preview(self, decision: Pruning, exchange: Exchange) -> Request:
        """The request with what stays."""
        return exchange.stage_notes.pop(_PRUNED)

    def _comes_again(self, request: Request, question: str) -> bool:
        """Whether the system prompt is a prefix that others share: another question had it, or turns follow."""
        if any(message.role == "assistant" for message in request.messages):
            return True
        key, asked = hash(tuple(block.text for block in request.system if isinstance(block, Text))), hash(question)
        first = self._systems.setdefault(key, asked)
        self._systems.move_to_end(key)
        if len(self._systems) > self._remembered:
            self._systems.popitem(last=False)
        return first != asked

    def _outcome(self, turn: Turn, count: Cost, exchange: Exchange, until: float) -> PruneOutcome:
        share = arm_setting(exchange, "prune.share", self._options.share, 0.01, 1.0)
        key = hash((turn.question, share, tuple(piece.text for piece in turn.pieces)))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        outcome = self._known[key] = self._decide(turn, count, exchange, until, share)
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return outcome

    def _decide(self, turn: Turn, count: Cost, exchange: Exchange, until: float, share: float) -> PruneOutcome:
        options = self._options
        known = exchange.stage_notes.get(STORED_SENTENCES)
        vectors = known.passages if known is not None else {}
        passages: list[Passage] = []
        tokens = 0.0
        for piece in turn.pieces:
            size = len(piece.text)
            ahead = (tokens + size / 4) * _SCORING
            if hash((piece.title, piece.text)) not in self._analysed:
                ahead += size * _ANALYSIS
            if exchange.clock.now() + ahead > until:
                break
            passage = self._passage(piece.title, piece.text, count)
            stored = vectors.get(piece.text) or vectors.get(_unescaped(piece.text))
            if stored is not None and passage.units:
                passage = aligned(passage, *stored)
            passages.append(passage)
            tokens += passage.cost
        unread = len(turn.pieces) - len(passages)
        everything = tuple(tuple(range(len(passage.units))) for passage in passages) + (None,) * unread
        whole = PruneOutcome(kept=everything, before=tokens, after=tokens, mass=1.0, duplicates=0)
        if tokens < options.floor:
            return whole
        pruned = prune(
            turn.question,
            passages,
            budget=max(share * tokens, float(options.floor)),
            mass=options.mass,
            floor=0.5 * options.floor,
            vector=known.question if known is not None else None,
            best_first=options.best_first,
        )
        # Passages that were not read cannot be ranked: then all stay in their order.
        return _result(pruned, unread, ordered=options.best_first and not unread)

    def _changes(self, turn: Turn, outcome: PruneOutcome, count: Cost) -> Sequence[tuple[Piece, str]]:
        changes = []
        for piece, units in zip(turn.pieces, outcome.kept, strict=True):
            if units is None:
                continue
            passage = self._passage(piece.title, piece.text, count)
            if len(units) < sum(not unit.pinned for unit in passage.units):
                changes.append((piece, passage.render(units).rstrip() if units else ""))
            elif outcome.order:
                changes.append((piece, piece.text))
        return changes


def _result(pruned: Pruned, unread: int, *, ordered: bool) -> PruneOutcome:
    kept: tuple[tuple[int, ...] | None, ...] = tuple(tuple(units) for units in pruned.kept)
    return PruneOutcome(
        kept=kept + (None,) * unread,
        before=pruned.before,
        after=pruned.after,
        mass=pruned.mass,
        duplicates=len(pruned.duplicates),
        order=tuple(pruned.order) if ordered else (),
    )


def _unescaped(text: str) -> str:
    """What retrieval escaped in a passage, as it was."""
    return text.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
