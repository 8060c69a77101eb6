"""Prose in fewer tokens: instructions, examples and earlier answers without what they say twice.

Theory of operation. Nothing is written anew: sentences are kept or left out, so that what stays is the author's own
words. Left out are sentences that were said before (the same words but for case, marks and filler; or nearly the same
words with the same numbers and as many negations), examples whose answer an earlier example gave at length, words of
politeness in front of a rule ("please note that"), and layout that only eyes need. What may have to be quoted stays as
it is: code, tables, JSON, lines with tags, and all that stands in braces of a template.

What becomes of a text hangs on the texts before it alone: a conversation that goes on has the same bytes in front, and
the provider's cached prefix holds. The work is linear in the text: a sentence is compared with the last few that share
its words.
"""

from __future__ import annotations

import re
from collections import Counter, deque

from hapenny.core.patterns import pattern
from hapenny.evidence.facts import fold, negations
from hapenny.tokens.segments import sentences

MOST = 60_000
"""Characters of a text beyond which it is left as it is."""
_COMPARED = 16
"""Sentences with the same word that a sentence is compared with, the latest ones."""
_ALIKE, _LEAST = 0.8, 4
"""Share of both sentences' words that two sentences have in common where one says nothing new; and the words under
which a sentence is never compared: short ones are headings, labels and answers of examples."""
_LONG_ANSWER = 6
"""Words from which on the answer of an example says more than which class the question is of."""
_WORD = pattern(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\W\d_]+")
_NUMBER = pattern(r"\d+(?:[.,:]\d+)*")
_RULER = pattern(r"[-=*_~#]{3,}")
_EXAMPLE = pattern(
    r"(?:example|beispiel|ví dụ|例)[^\n:：.]{0,20}[.:：]\s{0,3}\S[^\n]{0,2000}?"
    r"(?:\b(?:answer|output|assistant|you|response|trả lời)|回答|答え)\s?[:：]",
    re.IGNORECASE,
)
_POLITE = pattern(
    r"(?:please (?:note|remember|be aware|keep in mind) that|it is (?:very |extremely )?important (?:to note )?that"
    r"|(?:always )?(?:remember|keep in mind|note|bear in mind) that|as (?:already )?(?:mentioned|said) above,"
    r"|(?:xin |vui lòng |hãy )?(?:lưu ý|nhớ|ghi nhớ) rằng|điều (?:rất )?quan trọng là"
    r"|(?:なお|ちなみに|念のため|繰り返しになりますが|先に述べたように)、)\s?",
    re.IGNORECASE,
)
_LEAD = pattern(r"[ \t]*(?:[-*•・#]{1,6}[ \t]+)?")


class Said:
    """Sentences that were said so far, in the texts of one request."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._bags: list[tuple[frozenset[str], frozenset[str], int]] = []
        self._with: dict[str, deque[int]] = {}
        """The last few sentences that have a word, by their places."""

    def again(self, sentence: str) -> bool:
        """Whether a sentence says nothing new; if it does, it counts as said from now on."""
        words = _WORD.findall(fold(sentence))
        if len(words) < _LEAST:
            return False
        counts = _NUMBER.findall(sentence)
        key = " ".join((*words, "|", *counts))
        if key in self._keys:
            return True
        bag, numbers, denied = frozenset(words), frozenset(counts), negations(sentence)
        common = Counter(place for word in bag for place in self._with.get(word, ()))
        for place, shared in common.items():
            other, theirs, denials = self._bags[place]
            if shared >= _ALIKE * max(len(bag), len(other)) and numbers <= theirs and denied == denials:
                return True
        self._keys.add(key)
        for word in bag:
            self._with.setdefault(word, deque(maxlen=_COMPARED)).append(len(self._bags))
        self._bags.append((bag, numbers, denied))
        return False


def shorter(text: str, said: Said) -> str:
    """A text without what it, or a text before it, says twice; the text itself where nothing goes."""
    if len(text) > MOST:
        return text
    kept: list[str] = []
    fenced, blank = False, False
    for line in text.split("\n"):
        bare = line.strip()
        fence = bare.startswith(("```", "~~~"))
        fenced ^= fence
        if fenced or fence or _exact(bare):
            left = line
        elif not bare or _RULER.fullmatch(bare):
            blank = bool(kept)
            continue
        else:
            left = _line(line.rstrip(), said)
            if not left:
                continue
        if blank:
            kept.append("")
        kept.append(left)
        blank = False
    whole = "\n".join(kept)
    return whole if whole.strip() and len(whole) < len(text) else text


def _line(line: str, said: Said) -> str:
    """What stays of a line; "" for nothing."""
    match = _LEAD.match(line)
    lead = match.group() if match is not None else ""
    bare = line[len(lead) :]
    example = _EXAMPLE.match(bare)
    if example is not None:
        answer = bare[example.end() :]
        long = len(_WORD.findall(fold(answer))) >= _LONG_ANSWER
        return "" if long and said.again(answer) else line
    text = "".join(each for each in map(_plain, sentences(bare)) if not said.again(each)).rstrip()
    return lead + text if text else ""


def _plain(sentence: str) -> str:
    """A sentence without politeness in front, and without emphasis."""
    match = _POLITE.match(sentence)
    if match is not None and match.end() < len(sentence.rstrip()):
        rest = sentence[match.end() :]
        sentence = rest[0].upper() + rest[1:] if sentence[0].isupper() else rest
    return sentence.replace("**", "") if sentence.count("**") % 2 == 0 else sentence


def _exact(line: str) -> bool:
    """Whether a line may have to reach the model as it is."""
    return line[:1] in ("|", "[", "}", "]", ">") or "`" in line or "{" in line or ("<" in line and ">" in line)
