"""The manual of the configuration, read off the structs themselves: every option with its kind, default and meaning.

The meaning of an option is the `description` of its `msgspec.Meta`, of a section the docstring of its struct.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import msgspec.inspect as types
from msgspec import Struct

from hapenny.config.options import Config


class Option(Struct, frozen=True):
    """One option. `path` is dotted; NAME stands for a name of the operator's, N for a place in a list."""

    path: str
    kind: str
    default: str
    """As YAML would say it; empty: the option has to be given."""
    meaning: str
    section: bool
    """Whether it only holds further options."""
    inside: bool = False
    """Whether it is the inside of an algorithm, which no deployment should need to set."""


def options() -> list[Option]:
    """Every option, in the order of the file."""
    return list(_walk(Config, "", {}))


def schema() -> dict[str, Any]:
    """The configuration as a JSON schema, for editors that complete and check YAML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Config)}


def markdown() -> str:
    """The manual as a page."""
    lines = [
        "# Configuration",
        "",
        "One YAML file, `hapenny serve -c hapenny.yaml`. Every option is optional unless it says *required*; with no",
        "file at all simulated models are served. `${NAME}` and `${NAME:-default}` stand for environment variables.",
        "Unknown keys, wrong types and contradictions are refused at start. `SIGHUP` reloads without losing a stream.",
        "This page is made by `hapenny options --markdown` from the program itself; `hapenny options --schema` is the",
        "same as a JSON schema, with which editors complete and check the file.",
    ]
    insides = [option for option in options() if option.inside]
    told: dict[tuple[str, ...], set[str]] = {}
    for section, rows in _sections():
        if section is not None:
            title = "###" if "." in section.path else "##"
            lines += ["", f"{title} {section.path}", "", section.meaning]
        rows, again = _once(rows, told, section.path if section is not None else "")
        lines += ["", again] if again else []
        if rows:
            lines += ["", *_HEAD, *map(_row, rows)]
    lines += ["", "## Insides", "", _INSIDES, "", *_HEAD, *map(_row, insides)]
    return "\n".join(lines) + "\n"


_FEW = 3
"""So many options that stand word for word in an earlier section are named in a line instead of told again."""


def _sections() -> Iterator[tuple[Option | None, list[Option]]]:
    """The sections of the page, each with its options; None are those of the file's first level."""
    section: Option | None = None
    rows: list[Option] = []
    for option in options():
        if option.section:
            yield section, rows
            section, rows = option, []
        elif not option.inside:
            rows.append(option)
    yield section, rows


def _once(rows: list[Option], told: dict[tuple[str, ...], set[str]], here: str) -> tuple[list[Option], str]:
    """What is left to tell of a section, and a line that names the rest; `told` learns of all its options."""
    places = Counter(place for option in rows for place in sorted(told.get(_words(option), ())))
    where, count = places.most_common(1)[0] if places else ("", 0)
    again = [option for option in rows if count >= _FEW and where in told.get(_words(option), ())]
    for option in rows:
        told.setdefault(_words(option), set()).add(here)
    names = ", ".join(f"`{option.path.rpartition('.')[2]}`" for option in again)
    return [option for option in rows if option not in again], f"As in `{where}`: {names}." if names else ""


def _words(option: Option) -> tuple[str, ...]:
    return option.path.rpartition(".")[2], option.kind, option.default, option.meaning


_HEAD = ("| option | kind | default | |", "| --- | --- | --- | --- |")
_INSIDES = (
    "What stands here belongs to an algorithm and adapts by itself or was chosen with it. A file may set it; no "
    "deployment should need to."
)


def _row(option: Option) -> str:
    default = f"`{option.default}`" if option.default else "*required*"
    meaning = option.meaning.replace("|", "\\|")
    return f"| `{option.path}` | {option.kind} | {default} | {meaning} |"


def _walk(kind: type, path: str, told: dict[type, str]) -> Iterator[Option]:
    """`told`: structs that were told already, and where: they are told once."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    plain: list[types.Field] = []
    nested: list[types.Field] = []
    for field in info.fields:
        (nested if _inner(field.type) else plain).append(field)
    for field in [*plain, *nested]:
        name = field.encode_name
        at = f"{path}.{name}" if path else name
        inside = _inner(field.type)
        meaning, hidden = _meant(field.type)
        if inside is None:
            yield Option(at, _kind(field.type), _default(field), meaning, False, hidden)
            continue
        if len(inside) > 1:
            yield from _choice(inside, at, meaning, told)
            continue
        inner, suffix = inside[0]
        if inner in told:
            yield Option(at + suffix, "section", "", f"As `{told[inner]}`.", True)
            continue
        told[inner] = at + suffix
        yield Option(at + suffix, "section", "", f"{meaning} {_about(inner)}".strip(), True)
        yield from _walk(inner, at + suffix, told)


def _choice(kinds: list[tuple[type, str]], at: str, meaning: str, told: dict[type, str]) -> Iterator[Option]:
    """Sections of which one is chosen by the word under its tag; each with its own options."""
    tags = [str(types.type_info(kind).tag) for kind, _ in kinds]  # type: ignore[attr-defined]
    suffix, tag_field = kinds[0][1], str(types.type_info(kinds[0][0]).tag_field)  # type: ignore[attr-defined]
    words = ", ".join(f"`{tag}`" for tag in tags)
    yield Option(at + suffix, "section", "", meaning or f"`{tag_field}` says which of these it is.", True)
    yield Option(f"{at}{suffix}.{tag_field}", words, "", "Which of the sections below it is.", False)
    for (kind, _), tag in zip(kinds, tags, strict=True):
        yield Option(f"{at}{suffix} ({tag_field}: {tag})", "section", "", _about(kind), True)
        yield from _walk(kind, at + suffix, told)


def _inner(node: types.Type) -> list[tuple[type, str]] | None:
    """The structs inside a type, several where a tag chooses one, and how their place is written."""
    if isinstance(node, types.Metadata):
        return _inner(node.type)
    if isinstance(node, types.UnionType):
        inside = [one for each in node.types for one in _inner(each) or ()]
        return inside or None
    if isinstance(node, types.StructType):
        return [(node.cls, "")]
    if isinstance(node, types.DictType):
        return [(cls, ".NAME" + rest) for cls, rest in _inner(node.value_type) or ()] or None
    if isinstance(node, types.ListType | types.VarTupleType):
        return [(cls, "[N]" + rest) for cls, rest in _inner(node.item_type) or ()] or None
    return None


_KINDS: dict[type, str] = {
    types.StrType: "text", types.IntType: "whole number", types.FloatType: "number", types.BoolType: "true or false",
    types.AnyType: "anything", types.NoneType: "null",
}  # fmt: skip


def _kind(node: types.Type) -> str:
    if isinstance(node, types.Metadata):
        return _kind(node.type)
    if isinstance(node, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in node.types if not isinstance(each, types.NoneType)))
    if isinstance(node, types.LiteralType):
        return ", ".join(f"`{value}`" for value in node.values)
    if isinstance(node, types.DictType):
        return f"mapping of {_kind(node.key_type)} to {_kind(node.value_type)}"
    if isinstance(node, types.ListType | types.VarTupleType | types.SetType | types.FrozenSetType):
        return f"list of {_kind(node.item_type)}"
    if isinstance(node, types.TupleType):
        return f"list of {len(node.item_types)}"
    return _KINDS.get(type(node), type(node).__name__.removesuffix("Type").lower())


def _default(field: types.Field) -> str:
    if field.default is not msgspec.NODEFAULT:
        return _said(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return _said(field.default_factory())
    return ""


def _said(value: Any) -> str:
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        value = int(value)
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()


def _about(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def _meant(node: types.Type) -> tuple[str, bool]:
    """What is said of an option, and whether it is the inside of an algorithm."""
    if not isinstance(node, types.Metadata):
        return "", False
    return (node.extra_json_schema or {}).get("description", ""), bool((node.extra or {}).get("inside"))
