"""What a gateway does to act as one with others: it hears what they withdraw, and tells them what it withdraws."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.caching.stored import RESULT
from hapenny.caching.withdrawals import Withdrawal
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.gateway.hinting import follow
from hapenny.gateway.shared_state import Shared
from hapenny.telemetry.metrics import Series
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.hints import Hints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hapenny.caching.semantic.cache import SemanticCache
    from hapenny.caching.semantic.opensearch import OpenSearchChannel
    from hapenny.caching.shared import SharedAnswers

_log = get_logger("hapenny.gateway")


Serve: TypeAlias = Callable[[str, Clock, Callable[[], Coroutine[Any, Any, None]]], None]


async def join_others(shared: Shared, semantic: SemanticCache | None, dispatchers: Dispatchers, serve: Serve) -> None:
    """Reads what was withdrawn before this gateway came, and follows it from now on. A store that is not there yet is
    waited for in the background."""
    elsewhere, dedup, clock = shared.elsewhere, shared.dedup, shared.clock
    assert elsewhere is not None

    def withdrawn(withdrawal: Withdrawal) -> None:
        published = set[str]()
        for layer in dedup.layers.values():
            if withdrawal.stale:
                layer.expire(withdrawal.selector, keep=withdrawal.keep)
                continue
            for entry in layer.select(withdrawal.selector):
                published.update(tag for tag in entry.tags if tag.startswith(RESULT))
            layer.purge(withdrawal.selector)
        if withdrawal.stale and withdrawal.tag is not None:
            shared.edge.withdraw(withdrawal.tag, keep=withdrawal.keep)
        elif published:
            shared.edge.withdraw(*sorted(published))

    queue: list[Withdrawal] = []

    def stale(tag: str, keep: str) -> None:
        """What went stale here went stale everywhere; told until somebody hears it, each once."""
        withdrawal = Withdrawal(tag=tag, keep=keep, stale=True)
        if withdrawal not in queue and len(queue) < 10_000:
            queue.append(withdrawal)

    async def tell() -> None:
        while True:
            while queue:
                try:
                    await elsewhere.withdraw(queue[0])
                except ConnectionError:
                    break
                del queue[0]
            await clock.sleep(0.1)

    elsewhere.on_withdrawn = withdrawn
    dedup.on_stale = stale
    try:
        await elsewhere.catch_up()
    except ConnectionError as error:
        _log.warning("the shared store is not there yet; this gateway goes on alone until it is", error=error)
    serve("news of other gateways", clock, elsewhere.follow)
    if semantic is not None:
        from hapenny.caching.semantic.shared import SharedSemantic

        together = semantic.others
        if not isinstance(together, SharedSemantic):  # else it goes on over a reload, from where it was
            together = semantic.others = SharedSemantic(elsewhere, semantic, clock, _channel(shared, elsewhere))
        serve("what gateways learn together", clock, together.follow)
    serve("news for other gateways", clock, tell)
    hints = Hints(dispatchers, clock)
    serve("hints about providers", clock, lambda: follow(hints, elsewhere, clock))
    shared.recorder.metrics.source("shared answers", lambda: _series(shared, hints))


def _channel(shared: Shared, elsewhere: SharedAnswers) -> OpenSearchChannel | None:
    """Where what gateways learn together is kept, if not in the shared space."""
    options = shared.config.stages[SEMANTIC_STAGE]
    if not options.opensearch:
        return None
    from hapenny.caching.semantic.opensearch import OpenSearchChannel

    channel = OpenSearchChannel(options.opensearch, shared.clock, options.ttl_s)
    elsewhere.beside.append(channel.aclose)
    return channel


def _series(shared: Shared, hints: Hints) -> Iterator[Series]:
    what = "What other gateways said of places that this one calls, too: given up, or to be left alone for a while."
    yield Series("hapenny_provider_hints_total", what, (), {(): float(hints.taken)})
    if shared.elsewhere is not None:
        what = "Look-ups of answers that gateways share: hits, misses, waits for another, gone on alone, refused."
        names = {"hits": "hit", "misses": "miss", "waits": "wait", "alone": "alone", "refused": "refused"}
        stats: dict[tuple[str, ...], float] = {
            (names[name],): float(count) for name, count in shared.elsewhere.stats().items() if name in names
        }
        yield Series("hapenny_shared_answers_total", what, ("outcome",), stats)
