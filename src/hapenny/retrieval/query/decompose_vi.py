"""Compound questions in Vietnamese: "so sánh A và B", "giá và bảo hành của A", "A hay B tốt hơn?"."""

from __future__ import annotations

import re

from hapenny.retrieval.query.sentence_ends import SENTENCE
from hapenny.retrieval.query.word_lists import alternatives

_ASKS = "(?:là gì|là ai|ở đâu|khi nào|bao nhiêu|thế nào|như thế nào)"
_SIDE = alternatives("vi", "sides")
_AND = re.compile(r"\s(?:và|với|cùng với|cùng|hay|hoặc|so với)\s", re.IGNORECASE)
_CLAUSE = re.compile(rf",?\s(?:và|rồi)\s(?=.{{1,60}}?\s{_ASKS}\b)", re.IGNORECASE)
_ASKED = re.compile(rf"\s{_ASKS}$", re.IGNORECASE)
_OPENS = re.compile(
    r"^(?:hãy |xin )?(?:so sánh|phân biệt|tìm kiếm|tìm|liệt kê|cho (?:tôi|mình|em) xem|nên (?:chọn|mua|dùng)"
    r"|cho (?:tôi |mình |em )?biết|nêu|trình bày|giữa"
    r"|(?:những |các )?(?:sự|điểm) (?:khác nhau|khác biệt|giống nhau|tương đồng) giữa)\s",
    re.IGNORECASE,
)
_CLOSES = (
    *(" là gì", " khác nhau thế nào", " khác nhau ra sao", " khác nhau như thế nào", " khác nhau", " cái nào tốt hơn"),
    *(" nên chọn cái nào", " nên mua cái nào", " nên dùng cái nào", " chọn cái nào", " ở điểm nào", " ở chỗ nào"),
    *(" tốt hơn", " nào tốt hơn", " là bao nhiêu", " bao nhiêu", " không"),
)
_APART = re.compile(r"\skhác(?: với| biệt với| so với)?\s", re.IGNORECASE)
_DIFFERS = re.compile(r"\s(?:so với|khác gì(?: so với)?|có (?:\S+ ){1,3}hơn|(?:\S+ ){1,2}hơn)\s", re.IGNORECASE)
_HOW = re.compile(r"\s(?:như )?thế nào$|\sra sao$", re.IGNORECASE)
_TRAITS = re.compile(rf"^(?P<one>{_SIDE})\s(?:và|cùng|với)\s(?P<two>{_SIDE})\scủa\s(?P<of>.+)$", re.IGNORECASE)
_TRAIT = re.compile(rf"^(?P<side>{_SIDE})\scủa\s(?P<rest>.+)$", re.IGNORECASE)


def split(text: str) -> list[str]:
    """Sub-queries of a question, `[text]` where there is one."""
    sentences = [part for part in SENTENCE.split(text) if part.strip()]
    if len(sentences) > 1:
        return sentences
    bare = text.rstrip("?!. ")
    clause = _CLAUSE.search(bare)
    if clause and _ASKED.search(bare[: clause.start()]):
        return [bare[: clause.start()], bare[clause.end() :]]
    opened = _OPENS.match(bare)
    inner = bare[opened.end() :] if opened else bare
    asked = inner
    for closing in _CLOSES:
        asked = asked.removesuffix(closing)
    traits = _TRAITS.match(asked)
    if traits:
        return [f"{traits['one']} của {traits['of']}", f"{traits['two']} của {traits['of']}"]
    trait = _TRAIT.match(asked)
    if trait:
        two = _AND.search(trait["rest"])
        if two is None:
            return [text]
        of = [trait["rest"][: two.start()], trait["rest"][two.end() :]]
        return [f"{trait['side']} của {each}" for each in of]
    differs = _DIFFERS.search(asked)
    if differs and not opened:
        return [asked[: differs.start()], asked[differs.end() :]]
    apart = _APART.search(asked) if asked != bare or bare.endswith((" thế nào", " ra sao")) else None
    if apart:
        return [asked[: apart.start()], _HOW.sub("", asked[apart.end() :])]
    two = _AND.search(asked)
    if two and (opened or asked != bare or " hay " in asked):
        return [asked[: two.start()], asked[two.end() :]]
    return [text]
