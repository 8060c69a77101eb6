"""What kind of thing a question asks for (number, date, name, place, term, reason), and which units have it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hapenny.core.patterns import pattern
from hapenny.tokens.passages import Passage

Floats = npt.NDArray[np.float64]

_ASKS_NUMBER = pattern(
    r"\bhow (?:many|much|long|old|far|tall|big|high|large|often|fast|deep)\b|\bnumber of\b|percent|population"
    r"|bao nhiêu|\bmấy\b|いくつ|いくら|何[人個回%パ歳台冊本枚件勝点キメ]|どれくらい|割合",
    re.IGNORECASE,
)
_ASKS_YEAR = pattern(
    r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century)\b|khi nào|năm nào|ngày nào"
    r"|thời gian nào|いつ|何[年月日世時]",
    re.IGNORECASE,
)
_ASKS_NAME = pattern(
    r"\bwho(?:se|m)?\b|\bwhat is the name\b|\bai\b|người nào|tên|誰|だれ|何という|名前|名称", re.IGNORECASE
)
_ASKS_PLACE = pattern(
    r"\bwhere\b|\b(?:what|which) (?:city|country|state|town|place|county)\b|ở đâu|nơi nào|nước nào|thành phố nào|どこ",
    re.IGNORECASE,
)
_ASKS_TERM = pattern(
    r"\bcalled\b|\bname(?:d|s)?\b|known as|\bterm\b|synonym|\bword\b|\bmean|stand for|gọi là|tên|nghĩa|thuật ngữ|từ nào"
    r"|何という|なんという|何と|名称|名前|別名|略称|愛称|呼|読み|意味|とは|漢字|由来",
    re.IGNORECASE,
)
_ASKS_REASON = pattern(
    r"\bwhy\b|\bcause|\breason|tại sao|vì sao|nguyên nhân|lý do|なぜ|どうして|理由|原因", re.IGNORECASE
)


def wants(question: str, passages: Sequence[Passage], out: Floats, terms: Floats) -> None:
    """Whether each unit has the kind of thing that is asked for.

    `out`, shape (units, 7): number, date, name, place where asked for; numbers and names as such; whether the question
    asks for none of these. `terms`, shape (units, 3): quotes and "known as" where a term is asked for, causes where a
    reason is.
    """
    number = _ASKS_NUMBER.search(question) is not None
    year = _ASKS_YEAR.search(question) is not None
    name = _ASKS_NAME.search(question) is not None
    place = _ASKS_PLACE.search(question) is not None
    units = [unit for passage in passages for unit in passage.units]
    traits = np.array([(unit.digits, unit.years, unit.names, unit.places) for unit in units], float)
    traits = np.minimum(traits, 3) / 3
    out[:, 0:4] = traits * np.array([number, year, name, place], float)
    out[:, 4] = traits[:, 0]
    out[:, 5] = traits[:, 2]
    out[:, 6] = not (number or year or name or place)
    term = _ASKS_TERM.search(question) is not None
    reason = _ASKS_REASON.search(question) is not None
    if term or reason:
        said = np.array([(min(3, unit.quotes) / 3, unit.defines, unit.explains) for unit in units], float)
        terms[:] = said * np.array([term, term, reason], float)
