"""References in Vietnamese questions, by rule: "nó", "của nó", "bộ phim này", "còn giá thì sao?".

The focus is the name in the latest question that brought one: what stands behind "của" or "về", before "là gì", or
in capitals. A bare noun that names a side of something ("giá bao nhiêu?") gets "của" and the focus.
"""

from __future__ import annotations

import re

from hapenny.retrieval.query.conversation_state import Standalone, State, instead, referred
from hapenny.retrieval.query.word_lists import alternatives, pointing_back

_SIDE = alternatives("vi", "sides")
_ENDS = r"(?=\s+(?:là|bằng|bao|có|như|thế|ở|được|khi|vào|gồm|từ|mấy|ra|đang|đã|sẽ|không)(?:\s|$)|\s*[?.!,]|$)"
_PERSON = r"(?:ông|bà|anh|chị|cô|cậu|chú|em|người)\s+(?:ấy|đó|này|ta)"
_ANAPHOR = re.compile(
    rf"\b(?:chúng nó|nó|chúng(?! ta| tôi| mình| em)|họ(?!\s+(?:hàng|tên))|{_PERSON}"
    r"|(?:cái|điều|việc|thứ|chuyện|chỗ|nơi)\s+(?:này|đó|ấy|kia))\b",
    re.IGNORECASE,
)
_KIND = alternatives("vi", "kinds")
_THIS = re.compile(rf"\b(?P<kind>(?:{_KIND}\s+)?{_KIND})\s+(?:này|đó|ấy|kia)\b", re.IGNORECASE)
_WHAT_OF = re.compile(r"^(?:vậy |thế )?còn\s+(?P<thing>.+)$", re.IGNORECASE)
_WHAT_OF_ENDS = (" thì sao", " thế nào", " thì", " nữa")
_BARE = re.compile(
    rf"^(?P<side>(?:(?:những|các|một số)\s+)?{_SIDE})\b(?!\s+(?:của|cho|ở|trong|về|bán chạy))", re.IGNORECASE
)
_BARE_ASKED = re.compile(
    rf"^(?P<head>(?:ai|cái gì|gì|điều gì|đâu)\s+là|có những|cho (?:tôi|mình|em) (?:biết|xem)|liệt kê|nêu)\s+"
    rf"(?P<side>(?:(?:những|các)\s+)?{_SIDE})\s*[?.!]*$",
    re.IGNORECASE,
)
_ADVERBIAL = re.compile(
    r"^(?:(?:được|đã|ra mắt|sinh|mất|công chiếu|phát hành|nằm|có|bao giờ|khi nào|ở đâu|tại sao|vì sao)\b)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"^(?:hãy |xin |vui lòng )?(?:kể|nói|giới thiệu|cho (?:tôi|mình|em) (?:biết|hỏi)|giải thích|mô tả|tìm hiểu)"
    r"(?:\s+cho (?:tôi|mình|em))?(?:\s+(?:biết|nghe))?(?:\s+thêm)?\s+(?:về\s+)?(?P<thing>.+)$",
    re.IGNORECASE,
)
_OF = re.compile(rf"\b(?:của|về)\s+(?P<thing>.+?){_ENDS}", re.IGNORECASE)
_IS = re.compile(
    r"^(?P<thing>.+?) là (?:gì|ai|cái gì|bệnh gì|loại|một|nước|người|phim|ngôn ngữ|thành phố)\b", re.IGNORECASE
)
_NOTHING = re.compile(r"^(?:(?:điều|cái|việc|chuyện)\s+)?(?:gì|ai|đâu|nào|sao|bao nhiêu)$", re.IGNORECASE)


def resolve(query: str, state: State) -> Standalone:
    """`query` against the focus."""
    named = referred(query, pointing_back("vi"), state.focus or "\0")
    if named != query:
        return Standalone(query, False, True) if "\0" in named else Standalone(named, True)
    if not state.focus:
        return Standalone(query, False, bool(_ANAPHOR.search(query)))
    focus = state.focus
    text = _THIS.sub(lambda match: _named(match["kind"], focus), query)
    text = _ANAPHOR.sub(lambda _: focus, text)
    if text != query:
        return Standalone(text, True)
    bare = query.rstrip(" ?.!")
    mark = query[len(bare) :]
    match = _WHAT_OF.match(bare)
    if match:
        thing = match["thing"]
        for ending in _WHAT_OF_ENDS:
            thing = thing.removesuffix(ending)
        if re.fullmatch(rf"(?:(?:những|các)\s+)?{_SIDE}", thing, re.IGNORECASE):
            return Standalone(f"{thing} của {focus}{mark}", True)
        swapped = instead(state, thing)
        return Standalone(swapped, True) if swapped else Standalone(query, False, True)
    match = _BARE_ASKED.match(query)
    if match:
        return Standalone(f"{query[: match.end('side')]} của {focus}{mark}", True)
    match = _BARE.match(query)
    if match and not _names(query):
        return Standalone(f"{match['side']} của {focus}{query[match.end('side') :]}", True)
    if subject(query):
        return Standalone(query, False)
    if _ADVERBIAL.match(query):
        return Standalone(f"{focus} {query[:1].lower()}{query[1:]}", True)
    return Standalone(query, False, unsure=len(query.split()) <= 6)


def subject(turn: str) -> str:
    """What a self-contained question is about; empty when it only refers to something."""
    text = turn.strip().rstrip(" ?.!")
    if _ANAPHOR.search(text) or _THIS.search(text):
        return ""
    for pattern in (_OF, _ABOUT):
        match = pattern.search(text)
        if match and not _NOTHING.match(match["thing"]):
            return _bare(match["thing"])
    match = _IS.match(text)
    if match and not re.fullmatch(_SIDE, match["thing"], re.IGNORECASE):
        return _bare(match["thing"])
    return max(_names(text), key=len, default="")


def _names(text: str) -> list[str]:
    """Runs of words in capitals, with numbers behind them. A question's first word alone is none: it always has one."""
    runs_of_names: list[list[str]] = []
    starts: list[int] = []
    words = text.split()
    for at, word in enumerate(words):
        named = word[:1].isupper()
        joins = bool(runs_of_names) and starts[-1] + len(runs_of_names[-1]) == at
        if joins and (named or word[:1].isdigit()):
            runs_of_names[-1].append(word)
        elif named:
            runs_of_names.append([word])
            starts.append(at)
    runs = zip(starts, runs_of_names, strict=True)
    return [" ".join(run).rstrip("?.!,") for start, run in runs if start > 0 or len(run) > 1]


def _bare(thing: str) -> str:
    """Without what asks, and without the side of it that was asked about."""
    thing = re.sub(rf"^{_SIDE}\s+(?:của\s+)?(?=\S)", "", thing.strip(), flags=re.IGNORECASE)
    return re.sub(
        r"\s+(?:là (?:gì|ai)|như thế nào|thế nào|ra sao|ở đâu|khi nào)$", "", thing, flags=re.IGNORECASE
    ).strip()


def _named(kind: str, focus: str) -> str:
    return focus if focus.lower().startswith(kind.lower()) else f"{kind} {focus}"
