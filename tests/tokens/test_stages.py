"""The stages on a pipeline: what reaches the model, what the client gets, and nothing at all in shadow."""

import json

import msgspec
import numpy as np
import pytest

from hapenny.catalog import default
from hapenny.core.answer import Replay, begin
from hapenny.core.answer_facts import AnswerFacts
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.exchange import Target
from hapenny.core.messages import Context, Document, Message, Parameters, Text, Tool, ToolResult, ToolUse
from hapenny.core.metering import Metered
from hapenny.core.passages import STORED_SENTENCES, StoredSentences
from hapenny.core.stage import Pipeline
from hapenny.counting import Estimators
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.answer_stage import AnswerSizes, AnswerSizeStage
from hapenny.tokens.brevity_stage import BrevityStage
from hapenny.tokens.options import (
    BrevityOptions,
    BrevityProfile,
    PruneOptions,
    SizeOptions,
    StructureOptions,
    TemplateOptions,
    WindowOptions,
)
from hapenny.tokens.prune_stage import PruneStage
from hapenny.tokens.segments import sentences
from hapenny.tokens.structure_stage import StructureStage
from hapenny.tokens.template_stage import TemplateStage
from hapenny.tokens.templates import Templates
from hapenny.tokens.window_stage import WindowStage
from tests.core.house import Asks, Terminal, exchange

PRICES = Prices(default(), Estimators())
MODEL = Target("anthropic.claude-3-haiku-20240307-v1:0", "bedrock")
ROWS = json.dumps([{"flight": f"HAT{n:03}", "origin": "ATL", "price": 100 + n} for n in range(12)])


def user(text):
    return Message("user", (Text(text),))


def tools(text=ROWS, name="search"):
    return (
        user("which flight is cheapest?"),
        Message("assistant", (ToolUse("c1", name, "{}"),)),
        Message("user", (ToolResult("c1", (Text(text),)),)),
    )


def documents():
    texts = {
        "bridge.txt": "The bridge spans the gorge. It was opened in 1864 after long delays. Visitors walk across it. "
        * 1,
        "mill.txt": "The mill stands by the river. It ground corn for two centuries. Today it is a museum of farming.",
        "harbour.txt": "The harbour was dug by hand. Ships brought sugar and wine. Cranes stand along the quay.",
    }
    return [Document("text/plain", text=text, name=name) for name, text in texts.items()]


async def served(stage, there, mode="on", terminal=None):
    there.target = MODEL
    terminal = terminal or Terminal()
    answer = await Pipeline([stage], {stage.name: mode}, terminal, Asks())(there)
    completion = await answer.collect()
    return completion, terminal


STAGES = {
    "structure": lambda: StructureStage(PRICES, StructureOptions(), WindowOptions()),
    "window": lambda: WindowStage(PRICES, WindowOptions(limit=60, recent=2)),
    "prune": lambda: PruneStage(PRICES, PruneOptions(share=0.4, floor=10, seconds=60)),
    "templates": lambda: TemplateStage(Templates.shipped(), TemplateOptions()),
    "answer_size": lambda: AnswerSizeStage(taught(), lambda _: True, lambda _: 4096),
}


def taught(tokens=20, options=None):
    sizes = AnswerSizes(options)
    for _ in range(60):
        sizes.learn("unknown", tokens)
    return sizes


REQUESTS = {
    "structure": lambda: exchange(messages=tools()),
    "window": lambda: exchange(messages=(user("a " * 40), Message("assistant", (Text("b " * 60),))) * 4 + (user("c"),)),
    "prune": lambda: exchange(messages=(Message("user", (*documents(), Text("when was the bridge opened?"))),)),
    "templates": lambda: exchange(
        messages=(user("book it"), Message("assistant", (Text("Done. Anything else?"),)), user("No, thanks"))
    ),
    "answer_size": lambda: exchange(),
}


@pytest.mark.parametrize("name", STAGES)
async def test_shadow_decides_and_changes_nothing(name):
    there = REQUESTS[name]()
    there.target = MODEL
    before = there.request
    _, terminal = await served(STAGES[name](), there, "shadow")
    assert terminal.seen == [(before, MODEL)]
    (taken,) = there.decisions
    assert taken.error is None
    assert taken.decision is not None
    assert there.answer == AnswerFacts()


async def test_structure_sends_rows_and_counts_what_it_saves():
    there = REQUESTS["structure"]()
    _, terminal = await served(STAGES["structure"](), there)
    sent = terminal.seen[0][0].messages[2].content[0].content[0].text
    assert sent.startswith("flight,origin=ATL,price\n")
    (taken,) = there.decisions
    assert taken.decision.tokens > 50
    assert taken.decision.would_save > 0


async def test_structure_leaves_named_tools_alone():
    stage = StructureStage(PRICES, StructureOptions(tools_untouched=("read_file",)), WindowOptions())
    there = exchange(messages=tools(name="read_file"))
    _, terminal = await served(stage, there)
    assert terminal.seen[0][0] is there.original


async def test_prune_keeps_the_evidence_of_documents_and_their_names():
    there = REQUESTS["prune"]()
    _, terminal = await served(STAGES["prune"](), there)
    sent = terminal.seen[0][0].messages[0].content
    assert any(isinstance(block, Document) and block.name == "bridge.txt" and "1864" in block.text for block in sent)
    assert len(sent) < 4
    assert sent[-1] == Text("when was the bridge opened?")
    (taken,) = there.decisions
    assert taken.decision.after < 0.6 * taken.decision.before


async def test_prune_reads_tagged_passages_and_keeps_what_is_outside():
    inside = "".join(
        f'<document index="{n}" title="{block.name}">\n{block.text}\n</document>\n'
        for n, block in enumerate(documents())
    )
    text = f"Use these documents.\n<documents>\n{inside}</documents>\nWhen was the bridge opened?"
    there = exchange(messages=(user(text),))
    _, terminal = await served(STAGES["prune"](), there)
    sent = terminal.seen[0][0].messages[0].text
    assert sent.startswith("Use these documents.\n<documents>\n<document")
    assert sent.endswith("</documents>\nWhen was the bridge opened?")
    assert "opened in 1864" in sent
    assert len(sent) < 0.7 * len(text)
    assert sent.count("<document ") == sent.count("</document>")


async def test_prune_reads_the_system_prompt_unless_it_comes_again_or_the_conversation_goes_on():
    passages = "\n\n".join(
        f"The bridge of {town} was opened in {1800 + place}. Boats passed under it. Its arches are of stone."
        for place, town in enumerate(("Lyon", "Porto", "Graz", "Gent", "Brno", "Turku", "Split", "Cork", "Ulm", "Bern"))
    )
    system = (Text(f"Answer from these.\n\nContext:\n\n{passages}"),)
    stage = STAGES["prune"]()

    async def sent(*turns: Message) -> str:
        _, terminal = await served(stage, exchange(system=system, messages=turns))
        return "".join(block.text for block in terminal.seen[-1][0].system)

    def asks(text: str) -> Message:
        return Message("user", (Text(text),))

    first = await sent(asks("When was the bridge of Graz opened?"))
    assert "Graz was opened in 1802" in first
    assert len(first) < 0.8 * len(system[0].text)
    assert await sent(asks("When was the bridge of Graz opened?")) == first
    assert await sent(asks("When was the bridge of Ulm opened?")) == system[0].text
    told = Message("assistant", (Text("In 1802."),))
    assert await sent(asks("When was the bridge of Graz opened?"), told, asks("and its arches?")) == system[0].text


async def test_an_old_turns_context_is_pruned_the_same_way_again():
    stage = STAGES["prune"]()
    first = Message("user", (*documents(), Text("when was the bridge opened?")))
    _, terminal = await served(stage, exchange(messages=(first,)))
    later = (first, Message("assistant", (Text("In 1864."),)), user("and what is the mill today?"))
    _, again = await served(stage, exchange(messages=later))
    assert again.seen[0][0].messages[0] == terminal.seen[0][0].messages[0]
    assert again.seen[0][0].messages[1:] == later[1:]


async def test_prune_uses_stored_vectors_where_words_say_nothing():
    there = exchange(messages=(Message("user", (*documents(), Text("zyx?"))),))
    directions = np.eye(3)
    passages = {
        block.text: (sentences(block.text), np.tile(direction, (len(sentences(block.text)), 1)))
        for block, direction in zip(documents(), directions, strict=True)
    }
    there.stage_notes[STORED_SENTENCES] = StoredSentences(passages, directions[2])
    _, terminal = await served(PruneStage(PRICES, PruneOptions(share=0.3, floor=1, seconds=60)), there)
    sent = [block.name for block in terminal.seen[0][0].messages[0].content if isinstance(block, Document)]
    assert sent == ["harbour.txt"]


async def test_prune_out_of_time_passes_the_rest_through():
    stage = PruneStage(PRICES, PruneOptions(share=0.4, floor=10, seconds=1e-9))
    there = REQUESTS["prune"]()
    _, terminal = await served(stage, there)
    assert terminal.seen[0][0] is there.original


async def test_prune_leaves_documents_with_citations_alone():
    cited = [Document("text/plain", text=block.text, name=block.name, citations=True) for block in documents()]
    there = exchange(messages=(Message("user", (*cited, Text("when was the bridge opened?"))),))
    _, terminal = await served(STAGES["prune"](), there)
    assert terminal.seen[0][0] is there.original


def turns(number, words=40):
    pairs = [(user(f"u{n} " * words), Message("assistant", (Text(f"b{n} " * words),))) for n in range(number)]
    return (*(message for pair in pairs for message in pair), user("and now?"))


async def test_a_prompt_the_provider_finds_too_long_is_compacted_and_asked_again():
    stage = WindowStage(PRICES, WindowOptions(recent=2))
    refusal = Failure("context_overflow", "prompt is too long", upstream_status=400)
    there = exchange(messages=turns(30))
    there.target = Target("a-model-nobody-knows", "bedrock")
    terminal = Terminal(failures=[refusal])
    answer = await Pipeline([stage], {"window": "on"}, terminal, Asks())(there)
    assert (await answer.collect()).text == "answer"
    first, second = (request.messages for request, _ in terminal.seen)
    assert len(second) < len(first) == 61
    assert second[-1] == first[-1]
    assert any("too long for the model" in note for note in there.notes)
    # The room is known now: the next request is compacted before it is sent.
    again = exchange(messages=(*turns(31)[:-1], user("and then?")))
    again.target = there.target
    terminal = Terminal()
    await (await Pipeline([stage], {"window": "on"}, terminal, Asks())(again)).collect()
    assert len(terminal.seen) == 1
    assert len(terminal.seen[0][0].messages) < 63


async def test_what_cannot_be_compacted_ends_with_a_clear_error():
    stage = WindowStage(PRICES, WindowOptions(recent=2))
    messages = (user("x " * 2000), Message("assistant", (Text("y"),)), user("z " * 2000))
    there = exchange(messages=messages)
    there.target = Target("a-model-nobody-knows", "bedrock")
    refusal = Failure("context_overflow", "prompt is too long", upstream_status=400)
    with pytest.raises(Failure, match="holds no earlier turns") as raised:
        await Pipeline([stage], {"window": "on"}, Terminal(failures=[refusal]), Asks())(there)
    assert raised.value.field == "messages"
    assert "larger context" in raised.value.fix


async def test_window_drops_turns_and_says_so():
    there = REQUESTS["window"]()
    _, terminal = await served(STAGES["window"](), there)
    assert len(terminal.seen[0][0].messages) < len(there.original.messages)
    assert any(note.startswith("window=") for note in there.notes)


async def test_what_is_dropped_is_summarised_once_for_the_session():
    asked = []

    async def summarise(there, ask, text):
        asked.append(text)
        return "They spoke of a and b."

    stage = WindowStage(PRICES, WindowOptions(limit=60, recent=2), summarise)
    sent = []
    for _ in range(2):
        _, terminal = await served(stage, REQUESTS["window"]())
        sent.append(terminal.seen[0][0].messages)
    assert len(asked) == 1
    assert "They spoke of a and b." in sent[0][0].text
    assert sent[0] == sent[1]


async def test_brevity_is_an_arm_and_our_stop_sequence_is_no_news():
    profile = BrevityProfile(instruction="Be brief.", stop=("END",))
    stage = BrevityStage(BrevityOptions(profiles={"short": profile}))
    control = exchange()
    control.arms["brevity"] = "control"
    _, terminal = await served(stage, control)
    assert terminal.seen[0][0] is control.original
    there = exchange()
    there.arms["brevity"] = "short"

    class Ends:
        async def __call__(self, there):
            self.request = there.request
            return await begin(
                Replay([Started(), TextDelta("yes"), Stopped("stop_sequence", 0, "END"), Usage(Tokens())])
            )

    model = Ends()
    completion, _ = await served(stage, there, terminal=model)
    assert model.request.system[-1] == Text("Be brief.")
    assert model.request.parameters.stop == ("END",)
    assert completion.reason == "end_turn"


async def test_template_answers_without_a_call():
    there = REQUESTS["templates"]()
    completion, terminal = await served(STAGES["templates"](), there)
    assert completion.text.startswith("You're welcome")
    assert terminal.seen == []
    assert there.calls == []
    (taken,) = there.decisions
    assert taken.decision.name == "closing"
    assert there.answer.model == "hapenny-template"


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": (Tool("end_session"),)},
        {"parameters": Parameters(format={"type": "json_object"})},
        {"parameters": Parameters(n=2)},
    ],
)
async def test_no_template_where_a_tool_or_a_form_is_expected(changes):
    messages = REQUESTS["templates"]().request.messages
    _, terminal = await served(STAGES["templates"](), exchange(messages=messages, **changes))
    assert len(terminal.seen) == 1


class Speaker:
    """A model that says `words` up to max_tokens, one token a word, and goes on from a prefilled turn."""

    def __init__(self, words):
        self.words = words
        self.limits = []

    async def __call__(self, there):
        call = there.begin_call(there.target, there.purpose, there.payer)
        request = there.request
        self.limits.append(request.parameters.max_tokens)
        last = request.messages[-1]
        start = len(last.text.split()) if last.role == "assistant" else 0
        rest = self.words[start:]
        said = rest[: request.parameters.max_tokens]
        lead = " " if start else ""
        deltas = [TextDelta((lead if n == 0 else " ") + word if n or lead else word) for n, word in enumerate(said)]
        reason = "end_turn" if len(said) == len(rest) else "max_tokens"
        usage = Usage(Tokens(input=10, output=len(said)))
        events = [Started(), BlockStarted(0, "text"), *deltas, BlockStopped(0), Stopped(reason), usage]
        answer = await begin(Replay(events))
        there.adopted = call
        return answer.through(Metered(call, there))


WORDS = [f"word{n}" for n in range(90)]


@pytest.mark.parametrize("stream", [False, True])
async def test_no_client_sees_the_learned_limit(stream):
    there = exchange(stream=stream, parameters=Parameters(max_tokens=500))
    stage = AnswerSizeStage(taught(20, SizeOptions(floor=8)), lambda _: True, lambda _: 4096)
    speaker = Speaker(WORDS)
    completion, _ = await served(stage, there, terminal=speaker)
    assert completion.text == " ".join(WORDS)
    assert completion.reason == "end_turn"
    assert speaker.limits[0] == 26
    assert there.decisions[0].decision.freed == 500 - 26
    assert there.calls[0].technique == "answer_size"
    assert completion.tokens.output == 90


async def test_the_clients_own_limit_still_cuts():
    there = exchange(parameters=Parameters(max_tokens=50), stream=True)
    stage = AnswerSizeStage(taught(20, SizeOptions(floor=8)), lambda _: True, lambda _: 4096)
    completion, _ = await served(stage, there, terminal=Speaker(WORDS))
    assert completion.text == " ".join(WORDS[:50])
    assert completion.reason == "max_tokens"


@pytest.mark.parametrize(
    "changes", [{"stream": True, "tools": (Tool("lookup"),)}, {"parameters": Parameters(n=2)}, {"stream": True}]
)
async def test_no_limit_where_a_cut_could_not_be_repaired(changes):
    there = exchange(**changes)
    stage = AnswerSizeStage(taught(20), lambda _: bool(changes.get("tools")), lambda _: 4096)
    speaker = Speaker(WORDS)
    await served(stage, there, terminal=speaker)
    assert speaker.limits == [None]


@pytest.mark.parametrize("mode", ["shadow", "on"])
async def test_whole_answers_teach_and_cut_ones_do_not(mode):
    sizes = AnswerSizes(SizeOptions(least=10))
    stage = AnswerSizeStage(sizes, lambda _: False, lambda _: 4096)
    for _ in range(10):
        await served(stage, exchange(parameters=Parameters(max_tokens=5)), mode, Speaker(WORDS))
    assert sizes.limit("unknown") is None
    for _ in range(10):
        there = exchange(context=Context(tenant="a", intent="story"))
        await served(stage, there, mode, Speaker(WORDS))
    assert sizes.limit("story") >= 90


async def test_a_continued_answer_teaches_its_whole_length():
    sizes = taught(20, SizeOptions(floor=8, least=10))
    stage = AnswerSizeStage(sizes, lambda _: True, lambda _: 4096)
    there = exchange(stream=True, parameters=Parameters(max_tokens=500))
    await served(stage, there, terminal=Speaker(WORDS))
    assert msgspec.msgpack.decode(sizes.dumps())["unknown"][-1] == 90
