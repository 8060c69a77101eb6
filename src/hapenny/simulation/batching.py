"""Continuous batching as an engine without a clock: which sequences a model server runs, and when each is done.

Theory of operation. A server works in steps: each decodes one token of every running sequence and prefills at most one
`chunk` of waiting prompts (chunked prefill, Agrawal et al., Sarathi-Serve, OSDI 2024). Between two steps at which
something changes (a prompt is in, an answer ends, memory is full) all steps are alike, so the engine leaps over them:
a *span* is so many equal steps, and only its end is an event. A sequence that comes in the middle of a span cuts it at
the next step, if it could start there. Times are therefore those of the step-by-step machine, at a few events a
request.

Memory is counted in tokens. Paged (Kwon et al., vLLM, SOSP 2023): a sequence holds what it has; when memory is full,
the youngest of the lowest priority is preempted and recomputed later. Contiguous: a sequence holds its prompt and its
limit from the start, and nothing is ever preempted. A more urgent sequence that finds no place pauses the least urgent
one with the most left. Static batching, for comparison: a batch of like prompts and predicted answers runs to its end
before the next begins.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable

import msgspec


class ServerCard(msgspec.Struct, kw_only=True, frozen=True):
    """How one server behaves; all figures assumed, of the order of a 70B model on four GPUs.

    A step takes `step_s` + `sequence_s` x running sequences + chunk / `prefill_tokens_per_s`. `kv_tokens`: the
    memory for prompts and answers together; `cached_tokens` of it may hold prefixes nobody uses. `start_s`: from start
    to ready. `most`: sequences the server itself runs at once; others wait inside it. `paged`: memory by the page, else
    contiguous. `continuous`: sequences join and leave at any step, else in whole batches.
    """

    step_s: float = 0.016
    sequence_s: float = 0.0004
    prefill_tokens_per_s: float = 9_000.0
    chunk: int = 512
    kv_tokens: int = 160_000
    cached_tokens: int = 40_000
    most: int = 256
    start_s: float = 180.0
    paged: bool = True
    continuous: bool = True


class Sequence:
    """One request inside a server. Times are the engine's; `first_at` and `ended_at` are None until they are known."""

    __slots__ = (
        "ended_at", "first_at", "held", "input", "left", "limit", "made", "on_end", "on_first", "output", "prefix",
        "priority", "running", "serial", "until",
    )  # fmt: skip

    def __init__(
        self,
        input_tokens: int,
        output: int,
        *,
        limit: int = 0,
        prefix: str = "",
        priority: int = 0,
        on_first: Callable[[float], None] | None = None,
        on_end: Callable[[float], None] | None = None,
    ) -> None:
        self.input = input_tokens
        self.output = output if output > 1 else 1
        self.limit = limit if limit > self.output else self.output
        self.prefix = prefix
        self.priority = priority
        self.on_first = on_first
        self.on_end = on_end
        self.serial = 0
        self.left = 0  # prompt tokens that are not prefilled
        self.held = 0  # tokens of memory when it began to run
        self.made = 0
        self.until = 0
        self.running = False
        self.first_at: float | None = None
        self.ended_at: float | None = None


class Engine:
    """One server. `add` sequences and `advance` to times in order; `next_at` is when something happens next.

    Totals are in tokens and sequences: `prefill_tokens`, `decode_tokens`, `preemptions`, `prefix_hits`, `kv` (held
    now), `inside` (waiting or running), `pending` (prompt tokens that are not prefilled), `busy_s`.
    """

    __slots__ = (
        "_cache", "_cached", "_chunk", "_each", "_filling", "_finishing", "_least", "_serial", "_start", "_step",
        "_steps", "_waiting", "busy_s", "card", "decode_tokens", "inside", "kv", "mean_input", "mean_output",
        "next_at", "pending", "preemptions", "prefill_tokens", "prefix_hits", "ready_at", "running",
    )  # fmt: skip

    def __init__(self, card: ServerCard, ready_at: float = 0.0) -> None:
        self.card = card
        self.ready_at = ready_at
        self.next_at = math.inf
        self.inside = self.running = self.pending = self.kv = 0
        self.prefill_tokens = self.decode_tokens = self.preemptions = self.prefix_hits = 0
        self.busy_s = 0.0
        self.mean_input, self.mean_output = 1_000.0, 200.0
        self._serial = self._step = 0
        self._least = 0  # the least urgent priority that ever came
        self._waiting: list[tuple[int, int, Sequence]] = []
        self._filling: list[Sequence] = []
        self._finishing: list[tuple[int, int, Sequence]] = []
        self._cache: OrderedDict[str, int] = OrderedDict()
        self._cached = 0
        # The span under way: since when, how many steps, seconds and prompt tokens each.
        self._start = 0.0
        self._steps = 0
        self._each = 0.0
        self._chunk = 0.0

    # -- what comes and goes ------------------------------------------------------------------------------------------

    def add(self, sequence: Sequence, now: float) -> None:
        """Takes a sequence in; the engine has been advanced to `now`."""
        self._serial += 1
        sequence.serial = self._serial
        sequence.left = sequence.input
        self.pending += sequence.input
        self.inside += 1
        if sequence.priority > self._least:
            self._least = sequence.priority
        heapq.heappush(self._waiting, (sequence.priority, self._serial, sequence))
        if self.next_at == math.inf:
            self._start = now if now > self.ready_at else self.ready_at
            self._begin()
        elif not self._filling and self._steps > 1 and self.card.continuous:
            self._cut(now)

    def remove(self, sequence: Sequence, now: float) -> None:
        """Lets go of a sequence that has not ended, with all it holds; the engine has been advanced to `now`."""
        if sequence.ended_at is not None:
            return
        sequence.ended_at = now
        self.inside -= 1
        if sequence.running:
            self._free(sequence)
        elif sequence in self._filling:
            self._filling.remove(sequence)
            self.kv -= sequence.held
            self.pending -= sequence.left
        else:
            self._waiting = [each for each in self._waiting if each[2] is not sequence]
            heapq.heapify(self._waiting)
            self.pending -= sequence.left
        if self.next_at < math.inf:
            self._cut(now)

    def advance(self, now: float) -> None:
        """Lets everything happen that happens until `now`."""
        while self.next_at <= now:
            self._end()

    def finish(self) -> None:
        """Lets everything happen that is still to happen."""
        while self.next_at < math.inf:
            self._end()

    def first_token_s(self, input_tokens: int) -> float:
        """Seconds until a prompt that came now would have its first token, places and memory included: whoever sends
        requests can work this out from what it has sent, and from how long answers have been."""
        card = self.card
        step = card.step_s + card.sequence_s * self.running
        over = self.inside + 1 - card.most
        if over > 0:  # places become free as answers end, and each takes its prompt's time from the others
            tokens = input_tokens
            seconds = over * (self.mean_output / card.most * step + self.mean_input / card.prefill_tokens_per_s)
        else:
            tokens, seconds = self.pending + input_tokens, 0.0
        over = self.kv + self.pending + input_tokens - card.kv_tokens
        if over > 0 and self.running:  # memory comes back as answers end: each step, what the share that ends held
            for each in self._filling:
                over -= each.left  # it is held already
            if over > 0:
                seconds += over * self.mean_output / (self.running * self.mean_input) * step
        return seconds + math.ceil(tokens / card.chunk) * step + tokens / card.prefill_tokens_per_s

    # -- spans --------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begins the span that starts at `_start`."""
        card = self.card
        filling = self._filling
        if self._waiting and not (filling and filling[0].left >= card.chunk):
            self._admit()
        if filling:
            left = filling[0].left
            if left >= card.chunk:
                steps = -(-left // card.chunk)
                chunk = left / steps
            else:
                steps, chunk = 1, 0.0
                for each in filling:
                    chunk += each.left
        else:
            steps, chunk = 1 << 60, 0.0
        running = self.running
        if running:
            finishing = self._finishing
            while finishing and not (finishing[0][2].running and finishing[0][2].until == finishing[0][0]):
                heapq.heappop(finishing)
            until = finishing[0][0] - self._step
            if until < steps:
                steps = until
            if card.paged and running > 1:
                full = (card.kv_tokens - self.kv) // running + 1
                if full < steps:
                    steps = full if full > 1 else 1
        elif not filling:
            self._steps, self.next_at = 0, math.inf
            return
        self._steps = steps
        self._chunk = chunk
        self._each = card.step_s + card.sequence_s * running + chunk / card.prefill_tokens_per_s
        self.next_at = self._start + steps * self._each

    def _cut(self, now: float) -> None:
        """Ends the span under way at the next step after `now`, since something has come or gone."""
        steps = math.ceil((now - self._start) / self._each - 1e-9) if self._each else 1
        if steps < self._steps:
            self._steps = steps if steps > 1 else 1
            self.next_at = self._start + self._steps * self._each

    def _end(self) -> None:
        """The span under way is over: what it brought."""
        steps, at, running = self._steps, self.next_at, self.running
        self._step += steps
        self.busy_s += at - self._start
        self._start = at
        filling = self._filling
        if running:
            self.decode_tokens += running * steps
            if self.card.paged:
                self.kv += running * steps
            finishing, step = self._finishing, self._step
            while finishing and finishing[0][0] <= step:
                until, _, sequence = heapq.heappop(finishing)
                if sequence.running and sequence.until == until:
                    self._finish(sequence, at)
        if filling and self._chunk:
            tokens = min(int(self._chunk * steps + 0.5), self.pending)
            self.prefill_tokens += tokens
            first = filling[0]
            if first.left > tokens:
                first.left -= tokens
                self.pending -= tokens
            else:
                for sequence in filling:
                    self.pending -= sequence.left
                    sequence.left = 0
                    self._promote(sequence, at)
                filling.clear()
        if self.card.paged:
            if self._cached:
                self._evict(0)
            while self.kv > self.card.kv_tokens and self.running > 1:
                self._preempt(self._youngest())
        self._begin()

    # -- memory and places --------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Lets waiting sequences begin their prefill while places, memory and the chunk of a step allow."""
        card, filling, waiting = self.card, self._filling, self._waiting
        if not card.continuous:
            if not filling and not self.running:
                self._batch()
            return
        chunk = 0
        for each in filling:
            chunk += each.left
        while waiting and chunk < card.chunk:
            sequence = waiting[0][2]
            need = sequence.left if card.paged else sequence.input + sequence.limit
            if self.running + len(filling) >= card.most or not self._room(need):
                if not self._pause(sequence):
                    return
                continue
            if filling and chunk + sequence.left > card.chunk:
                return  # it begins with a chunk of its own
            heapq.heappop(waiting)
            self._hold(sequence, need)
            filling.append(sequence)
            chunk += sequence.left

    def _batch(self) -> None:
        """Static batching: as many like the oldest as there is room for, by prompt length and predicted answer."""
        card = self.card
        oldest = self._waiting[0][2]
        kind = (oldest.input.bit_length(), oldest.output.bit_length())
        ordered = sorted(self._waiting, key=lambda each: each[:2])
        for entry in ordered:
            sequence = entry[2]
            like = (sequence.input.bit_length(), sequence.output.bit_length()) == kind
            need = sequence.left if card.paged else sequence.input + sequence.limit
            if len(self._filling) < card.most and like and (self._room(need) or not self._filling):
                self._hold(sequence, need)
                self._filling.append(sequence)
        taken = set(map(id, self._filling))
        self._waiting = [each for each in ordered if id(each[2]) not in taken]

    def _room(self, need: int) -> bool:
        if self._cached:
            self._evict(need)
        return self.kv + self._cached + need <= self.card.kv_tokens or not (self.running or self._filling)

    def _hold(self, sequence: Sequence, need: int) -> None:
        self.kv += need
        sequence.held = need
        if sequence.prefix and sequence.prefix in self._cache:
            known = min(sequence.left - 1, self._cache[sequence.prefix])
            sequence.left -= known
            self.pending -= known
            self._cache.move_to_end(sequence.prefix)
            self.prefix_hits += 1

    def _promote(self, sequence: Sequence, at: float) -> None:
        """A prompt that is prefilled has made its first token and starts to decode."""
        sequence.made += 1
        if sequence.first_at is None:
            sequence.first_at = at
            if sequence.on_first is not None:
                sequence.on_first(at)
        sequence.until = self._step + sequence.output - sequence.made
        sequence.running = True
        self.running += 1
        if sequence.until <= self._step:
            self._finish(sequence, at)
        else:
            heapq.heappush(self._finishing, (sequence.until, sequence.serial, sequence))

    def _finish(self, sequence: Sequence, at: float) -> None:
        self._free(sequence)
        sequence.made = sequence.output
        sequence.ended_at = at
        self.inside -= 1
        self.mean_output += 0.02 * (sequence.output - self.mean_output)
        self.mean_input += 0.02 * (sequence.input - self.mean_input)
        if sequence.prefix:
            self._cached -= self._cache.pop(sequence.prefix, 0)
            self._cache[sequence.prefix] = sequence.input
            self._cached += sequence.input
            self._evict(0)
        if sequence.on_end is not None:
            sequence.on_end(at)

    def _free(self, sequence: Sequence) -> None:
        """Returns the memory of a running sequence: what it began with and a token a step since."""
        sequence.running = False
        self.running -= 1
        self.kv -= sequence.held
        if self.card.paged:
            made = sequence.output - max(0, sequence.until - self._step)
            self.kv -= max(0, made - sequence.made)

    def _preempt(self, sequence: Sequence) -> None:
        """A running sequence gives its memory up and is recomputed later."""
        made = max(1, sequence.output - max(0, sequence.until - self._step))
        self._free(sequence)
        sequence.made = made
        sequence.left = sequence.input + made
        self.pending += sequence.left
        heapq.heappush(self._waiting, (sequence.priority, sequence.serial, sequence))
        self.preemptions += 1

    def _youngest(self) -> Sequence:
        return max(
            (each for _, _, each in self._finishing if each.running), key=lambda each: (each.priority, each.serial)
        )

    def _pause(self, urgent: Sequence) -> bool:
        """Makes room for a more urgent sequence: the least urgent running one with the most left waits."""
        if urgent.priority >= self._least:
            return False
        lesser = [each for _, _, each in self._finishing if each.running and each.priority > urgent.priority]
        if not lesser:
            return False
        self._preempt(max(lesser, key=lambda each: (each.priority, each.until, each.serial)))
        return True

    def _evict(self, need: int) -> None:
        """Forgets prefixes, oldest first, until they fit their share and `need` more tokens fit the memory."""
        card = self.card
        while self._cache and (self._cached > card.cached_tokens or self.kv + self._cached + need > card.kv_tokens):
            _, tokens = self._cache.popitem(last=False)
            self._cached -= tokens
