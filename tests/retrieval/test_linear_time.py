"""No text of a user or a document meets work that grows faster than it does.

Every compiled pattern of the room, and every function that reads a question or a file's text, is run on texts that
repeat what it looks for without letting it end. Four times the text may cost at most about four times as much; a ratio
of the best of several runs is held, so that a busy machine does not decide.
"""

import contextlib
import importlib
import inspect
import pkgutil
import re
import time

import pytest

import hapenny.caching.semantic as semantic
import hapenny.retrieval as retrieval
from hapenny.caching.semantic.terms import read as read_terms
from hapenny.retrieval.analysis import analyser, detect, spoken
from hapenny.retrieval.blocks import sections, units
from hapenny.retrieval.chunking import chunk, estimate, sentences
from hapenny.retrieval.documents import Document
from hapenny.retrieval.ingest.duplicates import wording
from hapenny.retrieval.query import prepare
from hapenny.retrieval.query.decompose import decompose
from hapenny.retrieval.query.irrelevant import relevant
from hapenny.retrieval.query.noun_phrases import phrases
from hapenny.retrieval.query.references import standalone
from hapenny.retrieval.query.register import Lexicon, read_vocabulary
from hapenny.retrieval.query.word_lists import word_lists
from hapenny.retrieval.readers.front_matter import split
from hapenny.retrieval.readers.page import html_text
from hapenny.retrieval.readers.tables import table_rows

SEEDS = [
    ",", ".", " ", "?", "- ", "a", "a ", "A ", "a-", "a.", "it ", "the ", "of ", "and ", "or ", "between ",
    "difference ", "difference between ", "compare ", "A of ", "A and ", "thanks ", "thanks, ", "hi ",
    "please ", "do you know,", "what ", "what about ", "before ", "what i said ", "(A", "(ABC) ", "\"",
    "'", "`", "```\n", "# ", "#", "|", "|-|\n", "\n", "\n\n", "<", "<p>", "</p>", "<form>", "<pre>",
    "<table><tr><td>", "&amp;", "1", "1.", "1,", "2000 ", "東", "東 ", "の", "と", "は", "とは", "について", "の値段",
    "より", "「", "『", "それ", "さっき", "さっき言った", "猫が", "か", "で、", "と東の", "của ", "và ", "là gì ",
    "còn ",
    "giữa ", "khác ", "điều tôi nói ", "bao hanh ", "서울", "é", "\u0301", "\ufeff", "---\n", "+++\n", "a: ",
    "!important",
]  # fmt: skip
PREFIXES = ["", "còn a", "what about ", "Aとは", "does x ", "What is the difference ", "do you know "]
SMALL = 1_500
FACTOR = 4
WORST = 9.0
"""Allowed growth for four times the text: linear work with noise, and far below the sixteen of quadratic work."""
BELOW = 0.004
"""Seconds under which nothing is compared: the clock and the caches decide there."""


def cost(work, text):
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work(text)
        best = min(best, time.process_time() - began)
        if best < BELOW / 4:
            break
    return best


def grows_linearly(work, seeds=SEEDS, prefixes=("",)):
    for prefix in prefixes:
        for seed in seeds:
            large = prefix + seed * (SMALL * FACTOR // len(seed)) + "x"
            long = cost(work, large)
            if long < BELOW:
                continue
            short = cost(work, prefix + seed * (SMALL // len(seed)) + "x")
            for _ in range(3):
                if long <= WORST * short:
                    break
                long, short = min(long, cost(work, large)), cost(work, prefix + seed * (SMALL // len(seed)) + "x")
            assert long <= WORST * short, (prefix, seed, short, long)


def patterns():
    for room in (retrieval, semantic):
        for info in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                    yield pytest.param(value, id=f"{info.name.removeprefix('hapenny.')}:{name}")


@pytest.mark.parametrize("pattern", patterns())
def test_every_pattern_is_linear(pattern):
    grows_linearly(lambda text: [None for _ in pattern.finditer(text)], prefixes=PREFIXES)


LEXICON = Lexicon("vi", lambda text: False, read_vocabulary(["bảo hành tủ lạnh"], "vi"))
READERS = {
    "prepare": prepare,
    "prepare with history": lambda text: prepare("when was it made?", [text, text], text),
    "references": lambda text: standalone(text, ["What is Kafka?", "京都とは何ですか？", "Huế là gì?"]),
    "decompose": decompose,
    "irrelevant en": lambda text: relevant(text, "en", word_lists("en")),
    "irrelevant vi": lambda text: relevant(text, "vi", word_lists("vi")),
    "irrelevant ja": lambda text: relevant(text, "ja", word_lists("ja")),
    "noun phrases": phrases,
    "register": LEXICON.styled,
    "vocabulary": lambda text: read_vocabulary([text], "vi"),
    "spoken": spoken,
    "detect": lambda text: detect([text]),
    "analysis en": analyser("en").indexed,
    "analysis vi": analyser("vi").indexed,
    "analysis ja": analyser("ja").indexed,
    "sentences": sentences,
    "estimate": estimate,
    "sections": sections,
    "units": units,
    "chunk": lambda text: chunk(Document(id="a", text=text)),
    "wording": lambda text: wording(Document(id="a", text=text)),
    "front matter": split,
    "table": table_rows,
    "semantic terms": read_terms,
}


@pytest.mark.parametrize("work", READERS.values(), ids=READERS.keys())
def test_every_reader_of_texts_is_linear(work):
    assert callable(work)
    assert not inspect.iscoroutinefunction(work)
    grows_linearly(swallowing(work))


def test_pages_are_read_in_linear_time():
    grows_linearly(html_text, seeds=[seed for seed in SEEDS if "<" in seed or len(seed) < 3])


def swallowing(work):
    """Refusals of nonsense count as work done."""

    def run(text):
        with contextlib.suppress(ValueError):
            work(text)

    return run


def test_a_long_question_costs_what_its_first_4000_characters_cost():
    long = "what is it? " * 80_000
    assert prepare(long).text == prepare(long[:4000]).text
