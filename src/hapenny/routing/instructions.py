"""What a prompt asks to be done, where it says so: "Write …", "Could you translate …", "Tóm tắt …", "…を要約して".

A scorer that has learnt from questions has no say about programs to write, however alike their words and shapes are: an
instruction that it never saw makes a kind of its own. Only verbs are known that ask a model to make something; what
opens with none of them is a question, or a text, like others.
"""

from __future__ import annotations

from hapenny.routing.intents.features import Features, extract

_ENGLISH = """
write translate summarize=summarise explain list generate implement create classify extract rewrite describe compare
compute=calculate find solve prove=show complete=finish design draw build make give provide suggest recommend plan
convert correct fix debug refactor review evaluate analyze=analyse identify label=tag outline edit compose draft=write
paraphrase=rewrite simplify imagine pretend act play tell name sort=order rank choose=pick select answer determine
estimate derive factor graph=plot shorten=summarise expand proofread=correct develop=implement code=implement
"""
_VIETNAMESE = "viết dịch tóm giải liệt tạo phân trích so tính tìm chứng thiết vẽ xây sửa đánh soạn sắp chọn lập"
_JAPANESE = """
要約 翻訳 作成 説明 計算 分類 書い 書き 生成 実装 列挙 比較 抽出 修正 分析 設計 作っ 訳し まと 添削 提案
"""
_POLITE_WORDS = "please can could would will you kindly now then hãy xin vui lòng bạn giúp tôi"
_OPENING, _ENDING = 6, 14
"""Tokens in which an English or Vietnamese instruction opens a prompt, and a Japanese one ends it."""


def _first(text: str) -> int:
    return int(extract(text).words[0])


def _verbs() -> dict[int, int]:
    known: dict[int, int] = {}
    for entry in _ENGLISH.split():
        each, _, alike = entry.partition("=")
        known[_first(each)] = _first(alike or each)
        if alike:
            known.setdefault(_first(alike), _first(alike))
    return known | {_first(each): _first(each) for each in _VIETNAMESE.split()}


_VERBS = _verbs()
_PAIRS = {int(extract(each).pairs[0]) for each in _JAPANESE.split()}
_POLITE = frozenset(map(_first, _POLITE_WORDS.split()))


def instruction(features: Features) -> int:
    """A mark of what the prompt asks to be done; 0 where it opens with no instruction that is known."""
    for word in features.words[:_OPENING].tolist():
        verb = _VERBS.get(word)
        if verb is not None:
            return verb
        if word not in _POLITE:
            break
    if features.shape[-1] > 0.0:  # wide characters
        for pair in reversed(features.pairs[-_ENDING:].tolist()):
            if pair in _PAIRS:
                return int(pair)
    return 0
