"""Predictable turns answered by templates: words alone are not enough, the dialogue before them must fit too.

"No, thanks" closes a conversation after "Anything else?" and refuses an offer after "Shall I book it?". A template
therefore names what the last assistant turn must have said, and lists every word the user may have used: one word more
and the turn goes to the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from hapenny.core.strict_yaml import read_yaml

_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|\d+")
_LONGEST = 600  # characters: predictable turns are short, and what a turn asked stands at its end
_FIELD = re.compile(r"\{([\w.]+)\}")


class Pattern(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a text must look like. All that is given must hold; texts are compared in lower case.

    `any`: one of these expressions is found; `none`: none of these is; `only`: every word is one of these (separated
    by spaces); `most_words`: not more words than that.
    """

    any: list[str] = []
    none: list[str] = []
    only: str = ""
    most_words: int = 0


class Template(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One kind of turn and its answers.

    `after`: what the last assistant turn must look like; `first`: there must be no assistant turn yet; `tool`: the turn
    must end with a result of this tool, whose fields `{a.b}` in `text` are filled from (all must be there); `values`:
    allowed values of fields, with the words they are said in; `enabled`: off until someone says so.
    """

    name: str
    text: list[str]
    user: Pattern
    after: Pattern | None = None
    first: bool = False
    tool: str = ""
    values: dict[str, dict[str, str]] = {}
    acts: list[str] = []
    enabled: bool = True


class Library(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of templates in one locale ("en", "vi-VN"; "" for any)."""

    locale: str = ""
    templates: list[Template]


class TemplateError(ValueError):
    """A template file that cannot be used; the message says where and why."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a template may look at: texts alone, and the result the turn ends with."""

    user: str
    assistant: str = ""
    turns: int = 0
    locale: str = ""
    tool: str = ""
    result: Mapping[str, Any] | None = None


class Fired(msgspec.Struct, frozen=True):
    """A template that fits, and its answer."""

    name: str
    locale: str
    text: str
    acts: tuple[str, ...]


class Templates:
    """All templates of a deployment, compiled; the first that fits answers."""

    def __init__(self, libraries: Iterable[Library]) -> None:
        self._compiled = [
            _Compiled(library.locale, template)
            for library in libraries
            for template in library.templates
            if template.enabled
        ]
        vocabularies = [each.vocabulary for each in self._compiled]
        self._vocabulary = frozenset[str]().union(*vocabularies) if all(vocabularies) else None
        """The words of all templates together, where each names all that its turns may hold."""

    @classmethod
    def shipped(cls) -> Templates:
        """The templates that come with hapenny."""
        folder = resources.files("hapenny.tokens") / "library"
        return cls(
            read(entry.read_text("utf-8"), entry.name) for entry in _sorted(folder) if entry.name.endswith(".yaml")
        )

    @staticmethod
    def shipped_files() -> list[Path]:
        """The files of the templates that come with hapenny."""
        return sorted(Path(__file__).with_name("library").glob("*.yaml"))

    @classmethod
    def of_files(cls, paths: Sequence[Path]) -> Templates:
        """The templates of YAML files. Raises TemplateError."""
        return cls(read(path.read_text("utf-8"), str(path)) for path in paths)

    def match(self, turn: Turn) -> Fired | None:
        """The answer to a turn, or None: the model's business."""
        if len(turn.user) > _LONGEST:
            return None
        user = _plain(turn.user)
        if self._vocabulary is not None and not self._vocabulary.issuperset(_WORDS.findall(user)):
            return None  # nearly always: a word that no template knows
        assistant = _plain(turn.assistant[-_LONGEST:])
        for template in self._compiled:
            text = template.answer(turn, user, assistant)
            if text is not None:
                return Fired(template.name, template.locale, text, tuple(template.acts))
        return None


def read(text: str, source: str = "templates") -> Library:
    """A library from YAML. Raises TemplateError with path, value and fix."""
    import yaml

    try:
        library = msgspec.convert(read_yaml(text), Library)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise TemplateError(f"{source}: {error}") from error
    for number, template in enumerate(library.templates):
        where = f"{source}: $.templates[{number}] ({template.name})"
        if not template.text:
            raise TemplateError(f"{where}: text is empty. Fix: give at least one answer")
        if not template.user.any and not template.user.only:
            raise TemplateError(f"{where}: user would match everything. Fix: give `any` or `only`")
        for pattern in (template.user, template.after):
            for expression in [*pattern.any, *pattern.none] if pattern else []:
                try:
                    re.compile(expression)
                except re.error as error:
                    raise TemplateError(f"{where}: {expression!r}: {error}. Fix: a Python expression") from error
        fields = {field for answer in template.text for field in _FIELD.findall(answer)}
        if fields and not template.tool:
            raise TemplateError(f"{where}: {sorted(fields)} come from a tool's result. Fix: name the tool")
    return library


def _sorted(folder: Any) -> list[Any]:
    return sorted(folder.iterdir(), key=lambda entry: str(entry.name))


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").lower().split())


class _Matcher:
    def __init__(self, pattern: Pattern) -> None:
        self.any = [re.compile(expression) for expression in pattern.any]
        self.none = [re.compile(expression) for expression in pattern.none]
        self.only = frozenset(pattern.only.split())
        self.most_words = pattern.most_words

    def fits(self, text: str) -> bool:
        words = _WORDS.findall(text)
        if not words or (self.most_words and len(words) > self.most_words):
            return False
        if self.only and not self.only.issuperset(words):
            return False
        if self.any and not any(expression.search(text) for expression in self.any):
            return False
        return not any(expression.search(text) for expression in self.none)


class _Compiled:
    def __init__(self, locale: str, template: Template) -> None:
        self.locale = locale
        self.name = template.name
        self.acts = template.acts
        self._template = template
        self._user = _Matcher(template.user)
        self._after = _Matcher(template.after) if template.after else None
        self.vocabulary = self._user.only
        """All words that the user's turn may hold; empty: any."""

    def answer(self, turn: Turn, user: str, assistant: str) -> str | None:
        template = self._template
        if turn.locale and self.locale and turn.locale.split("-")[0].lower() != self.locale.split("-")[0].lower():
            return None
        if template.first and (turn.turns or turn.assistant):
            return None
        if bool(template.tool) != bool(turn.tool) or template.tool != turn.tool:
            return None
        if not self._user.fits(user) or (self._after is not None and not self._after.fits(assistant)):
            return None
        text = template.text[turn.turns % len(template.text)]
        return self._filled(text, turn.result) if template.tool else text

    def _filled(self, text: str, result: Mapping[str, Any] | None) -> str | None:
        values: dict[str, str] = {}
        for field in _FIELD.findall(text):
            value: Any = result
            for step in field.split("."):
                value = value.get(step) if isinstance(value, Mapping) else None
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                return None
            words = self._template.values.get(field)
            said = str(value) if words is None else words.get(str(value))
            if said is None:
                return None
            values[field] = said
        return _FIELD.sub(lambda match: values[match.group(1)], text)


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that comes often and is always answered alike: worth a template, once a person has read it."""

    user: str
    after: str
    answer: str
    turns: int
    users: int
    agreement: float


def drafts(suggestions: Iterable[Suggestion]) -> Library:
    """Templates as suggested, switched off: for a person to read, correct and enable. An answer that holds braces is
    left out, because a template would fill them."""
    made: list[Template] = []
    for suggestion in suggestions:
        if _FIELD.search(suggestion.answer) or not suggestion.user:
            continue
        before = suggestion.after.split()
        made.append(
            Template(
                name="-".join(suggestion.user.split()[:6]) + f"-{len(made) + 1}",
                user=Pattern(any=[rf"^\W*{_spaced(suggestion.user.split())}\W*$"]),
                after=Pattern(any=[rf"{_spaced(before)}\W*$"]) if before else None,
                first=not before,
                text=[suggestion.answer],
                enabled=False,
            )
        )
    return Library(templates=made)


def _spaced(words: Sequence[str]) -> str:
    return r"\W+".join(re.escape(word) for word in words)


def suggest(
    turns: Iterable[tuple[str, str, str, str]], *, least_turns: int = 20, least_users: int = 5, agreement: float = 0.95
) -> list[Suggestion]:
    """Candidates from kept content: (user id, last assistant text, user text, answer) of past turns.

    A candidate's turns have the same words from the user and the same last words from the assistant; `agreement` of
    the answers must be the same but for case and punctuation. Most frequent first.
    """
    groups: dict[tuple[str, str], dict[str, set[str] | list[str]]] = {}
    for who, assistant, user, answer in turns:
        key = (" ".join(_WORDS.findall(_plain(user))), " ".join(_WORDS.findall(_plain(assistant))[-6:]))
        group = groups.setdefault(key, {"users": set(), "answers": []})
        group["users"].add(who)  # type: ignore[union-attr]
        group["answers"].append(answer)  # type: ignore[union-attr]
    suggestions = []
    for (user, after), group in groups.items():
        answers = list(group["answers"])
        plain: dict[str, list[str]] = {}
        for answer in answers:
            plain.setdefault(" ".join(_WORDS.findall(_plain(answer))), []).append(answer)
        best = max(plain.values(), key=len)
        share = len(best) / len(answers)
        if len(answers) >= least_turns and len(group["users"]) >= least_users and share >= agreement:
            suggestions.append(
                Suggestion(
                    user=user,
                    after=after,
                    answer=best[0],
                    turns=len(answers),
                    users=len(group["users"]),
                    agreement=share,
                )
            )
    return sorted(suggestions, key=lambda suggestion: -suggestion.turns)
