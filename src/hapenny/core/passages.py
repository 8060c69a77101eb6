"""What retrieval leaves for others on a request: the passages' sentence vectors for whoever shortens them, and for the
books what the application would have sent without us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from hapenny.core.messages import Request, Text
from hapenny.core.notes import Note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StoredSentences(Struct, frozen=True):
    """Vectors that an index holds of the sentences of passages, and the question's: nobody need embed them again."""

    passages: Mapping[str, tuple[Sequence[str], NDArray[np.float32]]]
    """By a passage's text: its sentences, and their unit vectors of shape (sentences, d)."""
    question: NDArray[np.float32]
    """Unit vector of shape (d,)."""


STORED_SENTENCES: Note[StoredSentences] = Note("retrieval.sentences", travels=True)


class BaselinePassages(Struct, frozen=True):
    """Passages that the application would have put beside the question if it had searched by itself: part of what the
    request is compared with."""

    text: str
    """As they would stand in the prompt; "" for none."""
    after: int
    """Steps (`Exchange.steps`) before retrieval acted."""
    sent: bool
    """Whether they are the very passages that retrieval put in."""


BASELINE_PASSAGES: Note[BaselinePassages] = Note("retrieval.baseline", travels=True)
"""Set where retrieval acted and the application would have sent passages too."""


def passage_tokens(passages: BaselinePassages, sent: Request, prompt: int) -> int:
    """Tokens of the passages, by what the provider counted of the request that was sent (`prompt` tokens)."""
    texts = [*(message.text for message in sent.messages), *(b.text for b in sent.system if isinstance(b, Text))]
    size = sum(map(len, texts))
    if sent.tools:
        size += len(msgspec.json.encode(sent.tools))
    return round(prompt * len(passages.text) / max(size, 1))


def beside(request: Request, text: str) -> Request:
    """`request` with a text in its last turn, behind the last cache point and before the question."""
    if not request.messages:
        return request
    last = request.messages[-1]
    after = max((i + 1 for i, block in enumerate(last.content) if getattr(block, "checkpoint", "")), default=0)
    content = (*last.content[:after], Text(text), *last.content[after:])
    changed = msgspec.structs.replace(last, content=content)
    return msgspec.structs.replace(request, messages=(*request.messages[:-1], changed))
