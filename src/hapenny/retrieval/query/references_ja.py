"""References in Japanese questions, by rule: それ, その値段, この映画, 値段は？, and topics that are left out.

The focus is the topic of the latest question that named one: what stands in quotes, before とは, について or の値段, or
before は何. A bare noun that names a side of something gets the focus with の, a question that begins with its
question word gets it with は.
"""

from __future__ import annotations

import re

from hapenny.retrieval.query.conversation_state import Standalone, State, instead, referred
from hapenny.retrieval.query.word_lists import alternatives, pointing_back

_SIDE = alternatives("ja", "sides")
_KIND = alternatives("ja", "kinds")
_PERSON = "(?:彼女ら|彼女|彼ら|彼(?![岸方処所])|あの人|その人|この人)"
_THING = (
    "(?:それら|これら|それ(?!ぞれ|から|で|では|でも|に(?!似|関|つい|対|比)|とも|なら|ほど)"
    "|これ(?!から|まで|ほど)|あれ(?!ば|から))"
)
_THIS = re.compile(f"(?:この|その|あの|同)(?P<kind>{_KIND})(?![\u3400-\u9fff])(?P<of>の)?")
_OF_IT = re.compile(f"(?:{_PERSON}|{_THING})の|その(?=[\u3400-\u9fff\u30a0-\u30ff])(?!他|後|間|時|上|中)")
_IT = re.compile(f"{_PERSON}|{_THING}|そこ(?=[でにはがへのをも])")
_BARE = re.compile(f"^(?P<side>{_SIDE})(?=[はがをも、？?]|って|$)")
_WHAT_OF = re.compile(
    "^(?:では|じゃあ|それでは)?[、\\s]*+(?P<thing>(?!それぞれ|両方|違い|差)[^はがをにでの、。]+?)(?:は|の場合は|の方は)"
    "(?:どうですか|どう|いかがですか)?[？?。]*$"
)
_LEFT_OUT = re.compile(
    "^(?:いつ|どこ|誰|だれ|なぜ|どうして|いくら|どのくらい|どれくらい|何年|何人|何で|何歳|どうやって|どんな)"
)
_QUOTED = re.compile("[「『](?P<thing>[^「『」』]+)[」』]")
_ABOUT = re.compile("とは|って(?=何|なに|誰|どんな|いつ)|について|に関して|のこと(?:を|に)")
_SIDE_OF = re.compile(f"の{_SIDE}")
_TOPIC = re.compile("^(?P<thing>[^、。？?]+?)は(?!どう|いかが)")
_STARTS = re.compile("^(?:では|それから|そして|じゃあ|それでは|ところで|ちなみに|また)[、\\s]*")


def resolve(query: str, state: State) -> Standalone:
    """`query` against the focus."""
    named = referred(query, pointing_back("ja"), state.focus or "\0")
    if named != query:
        return Standalone(query, False, True) if "\0" in named else Standalone(named, True)
    if not state.focus:
        return Standalone(query, False, bool(_IT.search(query) or _OF_IT.search(query)))
    focus = state.focus
    text = _THIS.sub(lambda match: focus + ("の" if match["of"] else ""), query)
    text = _OF_IT.sub(lambda _: f"{focus}の", text)
    text = _IT.sub(lambda _: focus, text)
    if text != query:
        return Standalone(text, True)
    plain = _STARTS.sub("", query)
    if _BARE.match(plain):
        return Standalone(f"{focus}の{plain}", True)
    match = _WHAT_OF.match(query)
    if match:
        swapped = instead(state, match["thing"])
        return Standalone(swapped, True) if swapped else Standalone(query, False, True)
    if _LEFT_OUT.match(plain) and not _TOPIC.match(plain):
        return Standalone(f"{focus}は{plain}", True)
    return Standalone(query, False, unsure=not subject(query) and len(query) <= 15)


def subject(turn: str) -> str:
    """What a self-contained question is about; empty when it only refers to something."""
    text = _STARTS.sub("", turn.strip())
    if _IT.search(text) or _OF_IT.search(text) or _THIS.search(text) or _BARE.match(text):
        return ""
    quoted = _QUOTED.search(text)
    topic = _TOPIC.match(text)
    for thing in (
        quoted["thing"] if quoted else "",
        _before(text, _ABOUT, "、。？? \u3000"),
        _before(text, _SIDE_OF, "、。？?"),
        topic["thing"] if topic else "",
    ):
        if thing and not _LEFT_OUT.match(thing):
            return re.sub(f"の{_SIDE}$", "", thing)
    return ""


def _before(text: str, marker: re.Pattern[str], ends: str) -> str:
    """What stands before the first marker, back to a mark of punctuation; "" if there is no marker."""
    match = next((each for each in marker.finditer(text) if each.start() and text[each.start() - 1] not in ends), None)
    if match is None:
        return ""
    start = max(text.rfind(end, 0, match.start()) for end in ends) + 1
    return text[start : match.start()]
