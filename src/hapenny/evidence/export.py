"""Training data for distillation and fine-tuning: verified answers that may be used, personal data redacted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.telemetry.redact import redact


class Example(Struct, kw_only=True):
    """A question and its answer. `score` in [0, 1] is the judge's or the user's; unverified answers have none."""

    prompt: str
    answer: str
    system: str | None = None
    score: float | None = None
    consent: bool = True
    """False keeps this one out, whatever the caller says about the rest."""


def kept_apart(prompt: str) -> bool:
    """Whether a question is one of the tenth that is for validation: always the same ones."""
    return hashlib.blake2b(redact(prompt).encode(), digest_size=1).digest()[0] < 26


def examples(rows: Iterable[Example], shape: str, min_score: float) -> Iterator[bytes]:
    """JSON lines in the conversation shape of OpenAI (`openai`) or Bedrock (`bedrock`); each question once."""
    seen: set[str] = set()
    for row in rows:
        if not row.consent or row.score is None or row.score < min_score or not row.answer.strip():
            continue
        prompt, answer = redact(row.prompt), redact(row.answer)
        if prompt in seen:
            continue
        seen.add(prompt)
        system = redact(row.system) if row.system else None
        line: dict[str, Any]
        if shape == "bedrock":
            line = {"schemaVersion": "bedrock-conversation-2024"}
            if system:
                line["system"] = [{"text": system}]
            line["messages"] = [
                {"role": "user", "content": [{"text": prompt}]},
                {"role": "assistant", "content": [{"text": answer}]},
            ]
        else:
            first = [{"role": "system", "content": system}] if system else []
            line = {"messages": [*first, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
        yield msgspec.json.encode(line) + b"\n"
