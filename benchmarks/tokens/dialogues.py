"""`templates` and `answer_size` on sgd dialogues."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from benchmarks.tokens.data import Row, rows, say
from benchmarks.tokens.prune import Count, o200k_count
from hapenny.core.answer import Answer, Replay, begin
from hapenny.core.clock import RealClock
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Event,
    Started,
    Stopped,
    StopReason,
    TextDelta,
    Tokens,
    Usage,
)
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.stage import Ask, Pipeline
from hapenny.tokens.answer_stage import AnswerSizes, AnswerSizeStage
from hapenny.tokens.options import SizeOptions
from hapenny.tokens.templates import Templates, Turn

CLIENT_LIMIT = 4096

Record = Callable[[dict[str, Any]], None]


def templates(directory: Path, record: Record, *, quick: bool = False) -> dict[str, Any]:
    """Shares of SYSTEM turns. A template sees texts alone; it is right when the recorded acts are the template's."""
    dialogues = rows(directory, "sgd_dev")
    if not dialogues:
        return {}
    shipped = Templates.shipped()
    turns = fired = wrong = 0
    for dialogue in dialogues:
        for place, turn in enumerate(dialogue["turns"]):
            if turn["speaker"] != "SYSTEM" or place == 0:
                continue
            turns += 1
            before = dialogue["turns"][place - 2]["text"] if place > 1 else ""
            seen = Turn(user=dialogue["turns"][place - 1]["text"], assistant=before, turns=place // 2)
            answer = shipped.match(seen)
            if answer is None:
                continue
            right = set(turn["acts"]) == set(answer.acts)
            fired, wrong = fired + 1, wrong + (not right)
            record(
                {
                    "part": "templates",
                    "dialogue": dialogue["dialogue_id"],
                    "turn": place,
                    "name": answer.name,
                    "right": right,
                }
            )
    result = {"fired": fired, "wrong": wrong, "share": round(fired / max(1, turns), 4), "turns": turns}
    say(f"templates: {result}")
    return {"templates": result}


def answer_size(directory: Path, record: Record, *, quick: bool = False) -> dict[str, Any]:
    """Five folds by dialogue: learned on four, the stage run on the fifth against a model that obeys `max_tokens`.

    A cut is an answer longer than the learned limit; a visible cut is one that the client received cut. Half of the
    requests are streamed from a model that takes prefill. Reserve: the client's 4,096 over the mean limit sent first.
    """
    dialogues = rows(directory, "sgd_dev")
    if not dialogues:
        return {}
    answers = [_answers(dialogue) for dialogue in dialogues]
    result = _folds(answers, SizeOptions(), record, "answer_size")
    # So tight that every fifth answer is cut: what the client sees must still be whole.
    tight = _folds(answers, SizeOptions(quantile=0.8, margin=1.0, floor=8), record, "answer_size_tight")
    say(f"answer_size: {result} tight {tight}")
    return {"answer_size": {**result, "tight": tight}}


def _folds(answers: list[list[tuple[str, str]]], options: SizeOptions, record: Record, part: str) -> dict[str, float]:
    count = o200k_count()
    sent: list[int] = []
    cut = visible = 0
    for fold in range(5):
        sizes = AnswerSizes(options)
        for number, spoken in enumerate(answers):
            if number % 5 != fold:
                for intent, text in spoken:
                    sizes.learn(intent, count(text))
        held = [pair for number, spoken in enumerate(answers) if number % 5 == fold for pair in spoken]
        for limits, delivered, text in asyncio.run(_serve(held, sizes, count)):
            sent.append(limits[0])
            cut += len(limits) > 1
            visible += delivered != text
            record({"part": part, "limits": limits, "visible": delivered != text})
    return {
        "cut_share": round(cut / len(sent), 5),
        "visible_cuts": visible,
        "reserve_ratio": round(CLIENT_LIMIT / (sum(sent) / len(sent)), 2),
        "n": len(sent),
    }


def _answers(dialogue: Row) -> list[tuple[str, str]]:
    found = []
    intent = "unknown"
    for turn in dialogue["turns"]:
        if turn["speaker"] == "USER":
            named = turn.get("intent") or ["unknown"]
            intent = named if isinstance(named, str) else named[0]
        else:
            found.append((intent, turn["text"]))
    return found


async def _serve(held: list[tuple[str, str]], sizes: AnswerSizes, count: Count) -> list[tuple[list[int], str, str]]:
    frozen = AnswerSizes(sizes.options)
    frozen.loads(sizes.dumps())
    clock = RealClock(1)
    served = []
    for number, (intent, text) in enumerate(held):
        stage = AnswerSizeStage(frozen, lambda _: True, lambda _: CLIENT_LIMIT)
        model = _Model(text, count)
        pipeline = Pipeline([stage], {"answer_size": "on"}, model, cast(Ask, None))
        request = Request(
            protocol="anthropic", model="m", messages=(Message("user", (Text("?"),)),), stream=number % 2 == 0,
            parameters=Parameters(max_tokens=CLIENT_LIMIT),
        )  # fmt: skip
        now = clock.now()
        exchange = Exchange(
            id=str(number), request=request, context=Context(intent=intent), clock=clock,
            limits=Limits(now + 60, now + 60), baseline=Target("m"),
        )  # fmt: skip
        completion = await (await pipeline(exchange)).collect()
        served.append((model.limits, completion.text, text))
    return served


class _Model:
    """Says its text up to `max_tokens`, and goes on from a prefilled turn."""

    def __init__(self, text: str, count: Count) -> None:
        self._text = text
        self._count = count
        self.limits: list[int] = []

    async def __call__(self, exchange: Exchange) -> Answer:
        request = exchange.request
        limit = request.parameters.max_tokens or CLIENT_LIMIT
        self.limits.append(limit)
        last = request.messages[-1]
        rest = self._text[len(last.text) :] if last.role == "assistant" else self._text
        words = re.findall(r"\s*\S+", rest)
        said = ""
        for word in words:
            if self._count(said + word) > limit:
                break
            said += word
        reason: StopReason = "end_turn" if said == "".join(words) else "max_tokens"
        said = rest if reason == "end_turn" else said
        tokens = Tokens(input=1, output=self._count(said))
        events: list[Event] = [Started(), BlockStarted(0, "text"), TextDelta(said), BlockStopped(0)]
        return await begin(Replay([*events, Stopped(reason), Usage(tokens)]))
