"""Compound questions in Japanese: AとBの違い, AとBではどちらが, Aの値段と保証期間, AとBの値段, AはBより."""

from __future__ import annotations

import re

from hapenny.retrieval.query.sentence_ends import SENTENCE
from hapenny.retrieval.query.word_lists import alternatives

_SIDE = alternatives("ja", "sides")
_AND = re.compile("と|および|及び|、|それとも|か(?=[^、。？?らもつい])|に比べて")
_ASKED = re.compile(
    "(?:の違い|の差|の共通点|の関係|の類似点|の比較表|の優劣|の比較|を比較|を比べ|を探|を検索|ではどちら|はどちら|のどちら|[かの]?、?どちら|どっち|はどう|について|を見せ|を教え).*$"
)
_TRAITS = re.compile(f"の(?P<one>{_SIDE})(?:と|や|、|および|及び)(?P<two>{_SIDE})")
_TWO = re.compile("と|および|及び|、")
_ONE_TRAIT = re.compile(f"(?P<side>{_SIDE})(?=[はがを、？?]|$)")
_EACH = re.compile(f"^(?P<one>[^と、]+の{_SIDE})(?:と|や|、|および|及び)(?P<two>[^と、]+の{_SIDE})(?=[はがを、？?]|$)")
_AGAINST = re.compile(
    "^(?P<one>[^はがをにでのと、対]{2,})対(?P<two>[^はがをにでのと、対策応象処話面抗戦立称価岸][^はがをにでのと、対]+)$"
)
_BOTH = re.compile("^(?P<one>[^はがをにでのと、やか]{2,})(?:(?<!それ)と|や|&|＆)(?P<two>[^はがをにでのと、やか]{2,})$")
_CLAUSE = re.compile("(?<=[何誰ついくら年月日])(?:で|で、|、)(?=[^、。]{1,40}は)")
_JOINS = re.compile("それとも|および|及び")
_LEADS = re.compile("^(?:また|そして|それから|あと)、?")


def split(text: str) -> list[str]:
    """Sub-queries of a question, `[text]` where there is one."""
    sentences = [part for part in SENTENCE.split(text) if part.strip()]
    if len(sentences) > 1:
        return [_LEADS.sub("", part) for part in sentences]
    bare = text.rstrip("？?。！ ")
    clause = _CLAUSE.search(bare)
    if clause:
        return [bare[: clause.start()], bare[clause.end() :].lstrip("、")]
    for pattern in (_EACH, _AGAINST, _BOTH):
        two = pattern.match(bare)
        if two:
            return [two["one"], two["two"]]
    traits = _TRAITS.search(bare)
    if traits and traits.start():
        of = bare[: traits.start()]
        return [f"{of}の{traits['one']}", f"{of}の{traits['two']}"]
    things = _of_two(bare) or _than(bare)
    if things:
        return things
    asked = _ASKED.search(bare)
    head = bare[: asked.start()] if asked else bare
    joined = _AND.search(head) if asked else _JOINS.search(head)
    if joined and joined.start():
        return [head[: joined.start()], head[joined.end() :]]
    return [text]


def _of_two(bare: str) -> list[str]:
    """AとBの値段 as Aの値段 and Bの値段."""
    at = bare.find("の")
    trait = _ONE_TRAIT.match(bare, at + 1) if at > 0 else None
    joint = _TWO.search(bare, 1, at) if trait else None
    if trait is None or joint is None or joint.end() == at:
        return []
    return [f"{bare[: joint.start()]}の{trait['side']}", f"{bare[joint.end() : at]}の{trait['side']}"]


def _than(bare: str) -> list[str]:
    """AはBより as A and B."""
    at = bare.find("より")
    topic = bare.find("は", 1, at) if at > 0 else -1
    return [bare[:topic], bare[topic + 1 : at]] if 0 < topic < at - 1 else []
