"""The question of a turn, apart from the context that applications put beside it.

Applications write retrieved context into the user's turn in a few common forms: in tags, under a label ("Context: …
Question: …"), as numbered sources, under Markdown headings. What a question costs must not depend on which. Everything
here is linear in the text: one pass for the tags, one over the lines.
"""

from __future__ import annotations

import re

_PASSAGE = re.compile(r"<(documents?|docs?|passages?|chunks?|sources?|context|search_results?|snippets?)\b[^<>]*>")
"""How retrieved context begins where applications write it into a turn."""
_MARK = r"\s{0,8}(?:[#>*_\-]{1,6}\s{0,4}){0,3}"
ASKS = re.compile(
    _MARK + r"(?:the |user'?s? |my |customer'?s? )?"
    r"(?:question|query|user input|user message|task|frage|pregunta|pergunta|domanda|質問|问题|問題|질문|câu hỏi|hỏi)"
    r"(?: from the (?:user|customer))?\s{0,4}[*_]{0,3}\s{0,4}(?:[:：]|$)[*_]{0,3}",
    re.IGNORECASE,
)
GIVES = re.compile(
    _MARK + r"(?:[\w' ,]{0,40}\b)?(?:contexts?|sources?|documents?|passages?|excerpts?|snippets?|references?|"
    r"search results?|knowledge(?: base)?|background|kontext|quellen|contexto|contesto|ngữ cảnh|tài liệu|nguồn|"
    r"文脈|参考資料|参考情報|参考文献|資料|参考|コンテキスト|検索結果|上下文)"
    r"(?: information)?(?: is| are)?(?: below| from [\w ]{1,40}| are| is)?\s{0,4}[*_]{0,3}\s{0,4}"
    r"(?:[:：]|\.?$)[*_]{0,3}"
    r"|" + _MARK + r"use (?:only )?(?:the (?:following|below)|these|this|following)(?: [\w']{1,15}){0,3} "
    r"(?:contexts?|sources?|documents?|passages?|excerpts?|information)\b[^:\n]{0,90}(?:[:.]|$)",
    re.IGNORECASE,
)
ENDS = re.compile(
    _MARK + r"(?:helpful |final |your |the )?(?:answer|response|antwort|respuesta|回答|答え|trả lời)"
    r"\s{0,4}[*_]{0,3}\s{0,4}(?:[:：]|$)",
    re.IGNORECASE,
)
NUMBERED = re.compile(
    r"\s{0,8}(?:[-*]\s)?(?:\[\^?\d{1,4}\]|\(\d{1,4}\)|(?:source|document|passage|doc|chunk) ?#?\d{1,4}\b)",
    re.IGNORECASE,
)
_LEAST = 200
"""Characters below which a turn is a question and nothing else."""
LONGEST_LABEL = 160
"""Characters of a line's beginning that are looked at for a label."""


MOST_LINES = 4_000
"""Lines beyond which a text is not looked through for labels: it is a log, a table or code, and all of it is asked."""
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` ends a line."""


def question_of(text: str) -> str:
    """The question of a turn's text; the text itself where it holds nothing else that can be told."""
    rest = without_passages(text)
    apart, text = len(rest) < len(text), rest
    if len(text) < _LEAST and not apart:
        return text
    return _labelled(text, apart) or text


def without_passages(text: str) -> str:
    """A text without the passages in tags it holds, in linear time whatever is left open."""
    if "<" not in text or "</" not in text:
        return text
    kept: list[str] = []
    open_for_good: set[str] = set()
    place = 0
    for begin in _PASSAGE.finditer(text):
        name = begin[1]
        if begin.start() < place or name in open_for_good:
            continue
        end = text.find(f"</{name}>", begin.end())
        if end < 0:
            open_for_good.add(name)
            continue
        kept.append(text[place : begin.start()])
        place = end + len(name) + 3
        while place < len(text) and text[place].isspace():
            place += 1
    return "".join((*kept, text[place:])).strip() or text


def _labelled(text: str, apart: bool) -> str:
    """The question where labels, headings or numbers tell it from its context; "" where they do not. `apart`: context
    was taken out already, and a label may be left."""
    head = text[:LONGEST_LABEL]
    if "\n" not in text and "\r" not in text and ":" not in head and "：" not in head:
        return ""  # no label stands before one line, and it is no heading
    if len(text) > MOST_LINES and sum(map(text.count, _BREAKS)) > MOST_LINES:
        return ""
    asked: list[str] = []
    loose: list[list[str]] = [[]]
    where, gives, numbered, asks = "loose", False, 0, False
    for line in text.splitlines():
        head = line[:LONGEST_LABEL]
        if not line or line.isspace():
            loose.append([])
            if where == "given" and not gives:
                where = "loose"
        elif (label := ASKS.match(head)) is not None:
            where, asks, asked = "asked", True, [line[label.end() :]]
        elif GIVES.match(head) is not None:
            where, gives = "given", True
        elif ENDS.match(head) is not None:
            where = "end"
        elif NUMBERED.match(head) is not None:
            where, numbered = "given" if where != "asked" or asked[0].strip() else where, numbered + 1
        elif where == "asked":
            asked.append(line)
        elif where == "loose":
            loose[-1].append(line)
        else:
            loose.append([])
    if asks and (apart or gives or numbered > 1 or len("".join(asked)) < len(text) // 2):
        return "\n".join(asked).strip()
    if gives or numbered > 1:
        paragraphs = [paragraph for lines in loose if (paragraph := "\n".join(lines).strip())]
        if not paragraphs and gives:  # all of it stands under the label: the last paragraph asks
            last = text.rstrip().rpartition("\n\n")[2].strip()
            return last if len(last) < len(text) // 2 else ""
        return "\n".join(paragraphs)
    return ""
