"""What one OpenAI message, or one delta of a stream, says, piece by piece and in the order of our blocks.

Servers that call themselves compatible say the same things in many ways: content as a string or as a list of parts
(Mistral), reasoning under four names, refusals apart, the one call of the older `function_call`. All are read here into
`Piece`; what is not understood is left over (`Piece` never holds it), so that it can be forwarded as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from hapenny.core.messages import Json, Opaque
from hapenny.protocols.fields import bound_upstream

FORM = "openai.form"
"""The key under which a block's extras say how the wire held it: `refusal`, `part`, `function_call`, or the name of the
field that held reasoning, where that is not `reasoning_content`."""
WORD = "openai.word"
"""The key under which a choice's extras hold (our reason, the wire's word), where the word alone does not say it."""


_NONE: Mapping[str, Json] = MappingProxyType({})


class Piece(NamedTuple):
    """One thing that is said."""

    kind: Literal["thinking", "redacted", "signature", "text", "note", "part", "call"]
    text: str = ""
    form: str = ""
    extras: Mapping[str, Json] = _NONE
    value: Json = None

    def owned(self) -> dict[str, Json] | None:
        """What a block that begins with it keeps for its own dialect."""
        owned: dict[str, Json] = {"openai": kept(dict(self.extras))} if self.extras else {}
        if self.form and self.form != "signed":
            owned[FORM] = self.form
        return owned or None

    def opaque(self) -> Opaque:
        """A part of the content that no block of ours can say."""
        return Opaque("openai", kept(self.value), extras={FORM: "part"})


_REASONING = ("reasoning_content", "reasoning", "thinking")
_KNOWN = {"role", "content", "refusal", "tool_calls", "annotations", "function_call", "thinking_blocks", *_REASONING}


def pieces_of(message: dict[str, Any], *, streamed: bool = False) -> Iterator[Piece]:
    """What `message` (or a delta) says: reasoning first, then text, then notes on it, then calls.

    Signed reasoning (`thinking_blocks`) repeats the plain one. A whole message is read from it; in a delta it adds the
    signature to pieces that came before.
    """
    signed = message.get("thinking_blocks")
    name = reasoning(message)
    if type(signed) is list and signed:
        if streamed and name:
            yield Piece("thinking", message[name], "" if name == "reasoning_content" else name)
        for block in signed:
            if type(block) is dict:
                yield from _signed(block, silent=streamed and bool(name))
    elif name:
        yield Piece("thinking", message[name], "" if name == "reasoning_content" else name)
    elif details := _details(message.get("reasoning_details")):
        yield Piece("thinking", details, "reasoning_details")
    content = message.get("content")
    if type(content) is str:
        if content:
            yield Piece("text", content)
    elif type(content) is list:
        for part in content:
            yield from _part(part)
    refusal = message.get("refusal")
    if type(refusal) is str and refusal:
        yield Piece("text", refusal, "refusal")
    notes = message.get("annotations")
    for note in notes if type(notes) is list else ():
        if _is_note(note):
            yield Piece("note", value=note)
    legacy = message.get("function_call")
    if type(legacy) is dict:
        yield Piece("call", form="function_call", value={"function": legacy})
    calls = message.get("tool_calls")
    for call in calls if type(calls) is list else ():
        yield Piece("call", value=call)


def flattened(message: dict[str, Any]) -> bool:
    """Turns a content that is a list of nothing but plain texts into their text, as OpenAI itself writes an answer;
    whether it was one. What a part holds beside its text keeps the list."""
    content = message.get("content")
    if type(content) is not list or not all(map(_is_plain, content)):
        return False
    message["content"] = "".join(part if type(part) is str else part["text"] for part in content)
    return True


def _is_plain(part: Any) -> bool:
    return type(part) is str or (_is_text(part) and part.get("type") == "text" and len(part) == 2)


def left_over(message: dict[str, Any]) -> dict[str, Any]:
    """The fields of `message` (or a delta) that `pieces_of` does not read."""
    if message.keys() <= _PLAIN:
        return {}
    out = {key: value for key, value in message.items() if key not in _KNOWN and value is not None}
    name = reasoning(message)
    if name != "reasoning_content" and message.get("thinking_blocks"):
        name = ""  # read from there
    for key in _REASONING:
        if key != name and message.get(key):
            out[key] = message[key]
    notes = message.get("annotations")
    if type(notes) is list and (strange := [note for note in notes if note and not _is_note(note)]):
        out["annotations"] = strange
    content = message.get("content")
    if content is not None and type(content) is not str and type(content) is not list:
        out["content"] = content
    return out


_PLAIN = {"role", "content", "tool_calls", "refusal"}


def reasoning(message: dict[str, Any]) -> str:
    """The name of the field that holds reasoning as text, or ""."""
    return next((key for key in _REASONING if type(message.get(key)) is str and message[key]), "")


def _signed(block: dict[str, Any], silent: bool) -> Iterator[Piece]:
    if block.get("type") == "redacted_thinking":
        yield Piece("redacted", text_of(block.get("data")), extras=_rest(block, "data"))
        return
    if not silent:
        yield Piece("thinking", text_of(block.get("thinking")), "signed", _rest(block, "thinking", "signature"))
    if signature := text_of(block.get("signature")):
        yield Piece("signature", signature)


def _part(part: Any) -> Iterator[Piece]:
    if type(part) is str:
        yield Piece("text", part, "part")
        return
    if type(part) is not dict:
        return
    kind, inner = part.get("type"), part.get("thinking")
    if kind == "text" and type(part.get("text")) is str:
        yield Piece("text", part["text"], "part", _rest(part, "text"))
    elif kind == "thinking" and type(inner) is str:
        yield Piece("thinking", inner, "part", _rest(part, "thinking"))
    elif kind == "thinking" and type(inner) is list and all(map(_is_text, inner)):
        extras, pieces = _rest(part, "thinking"), [_rest(piece, "text") for piece in inner]
        if any(pieces):
            lengths = [len(piece["text"]) for piece in inner]
            extras["thinking"] = [{"length": length, **piece} for length, piece in zip(lengths, pieces, strict=True)]
        yield Piece("thinking", "".join(piece["text"] for piece in inner), "part", extras)
    elif kind == "refusal" and type(part.get("refusal")) is str:
        yield Piece("text", part["refusal"], "refusal", _rest(part, "refusal"))
    else:
        yield Piece("part", value=part)


def _is_note(note: Any) -> bool:
    """Whether `note` has the shape of OpenAI's annotations."""
    return type(note) is dict and type(kind := note.get("type")) is str and type(note.get(kind)) is dict


def _is_text(piece: Any) -> bool:
    return type(piece) is dict and type(piece.get("text")) is str


def _details(listed: Any) -> str:
    """The reasoning in OpenRouter's `reasoning_details`, where no other field holds it."""
    if type(listed) is not list:
        return ""
    return "".join(text_of(detail.get("text") or detail.get("summary")) for detail in listed if type(detail) is dict)


def _rest(item: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "type" and key not in known and value is not None}


def kept(value: Any) -> Any:
    """`value`, which is kept as it came: not nested too deeply."""
    return bound_upstream({"kept": value})["kept"]


def matched(extras: dict[str, Any]) -> str | None:
    """The stop sequence that vLLM (`stop_reason`) or SGLang (`matched_stop`) names in a choice; a token is a number."""
    for key in ("stop_reason", "matched_stop"):
        value = extras.get(key)
        if type(value) is str and value:
            return value
    return None


def stem_of(id_: str, created: Any) -> str:
    """How the ids of an answer's calls begin where the server gives none: another one for each answer."""
    return "call_" + blake2b(f"{id_} {created}".encode("utf-8", "replace"), digest_size=9).hexdigest()


def text_of(value: Any) -> str:
    """`value`, if it is a string, else ""."""
    return value if type(value) is str else ""


def folded(pieces: list[dict[str, Any]], *, continued: bool = True) -> dict[str, Any]:
    """The fields of several deltas as one object, in the way that OpenAI's client joins deltas: strings (where they are
    `continued`) and lists are put together (entries with an `index` by that index), objects are joined field by field,
    anything else counts as last said. Linear in what came.
    """
    gathered: dict[str, list[Any]] = {}
    for piece in pieces:
        for key, value in piece.items():
            if value is not None:
                gathered.setdefault(key, []).append(value)
    return {key: _joined(key, values, continued) for key, values in gathered.items()}


def _joined(key: str, values: list[Any], continued: bool) -> Any:
    if len(values) == 1:
        return values[0]
    kind = type(values[-1])
    if any(type(value) is not kind for value in values):
        return values[-1]
    if kind is str:
        return "".join(values) if continued and key not in _ONCE else values[-1]
    if kind is dict:
        return folded(values, continued=continued)
    if kind is not list:
        return values[-1]
    entries = [entry for value in values for entry in value]
    if not all(type(entry) is dict and type(entry.get("index")) is int for entry in entries):
        return entries
    numbered: dict[int, list[dict[str, Any]]] = {}
    for entry in entries:
        numbered.setdefault(entry["index"], []).append(entry)
    return [folded(parts, continued=continued) for _, parts in sorted(numbered.items())]


_ONCE = {"id", "type", "index", "name", "format", "object", "model", "role"}
"""Fields that are repeated, not continued."""
