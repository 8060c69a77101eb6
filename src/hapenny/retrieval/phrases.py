"""Noun phrases of English questions by closed word classes: enough for references and sub-queries, in microseconds."""

from __future__ import annotations

import re

import msgspec

_WORD = re.compile(r"[\w’'.&/-]*\w|[?,;:!.]")
SUBJECTS = {"it", "they", "he", "she", "them", "him"}
POSSESSIVES = {"its", "their", "his", "it’s"}
_DETERMINERS = {"this", "that", "these", "those"}
ARTICLES = {"the", "a", "an", "some", "any", "of", "other", "another", "all", "each", "every", "both"}
QUESTION = {"what", "what's", "what’s", "who", "who's", "which", "when", "where", "why", "how", "whose", "whom"}
AUXILIARY = {
    *("is", "are", "was", "were", "be", "been", "being", "do", "does", "did", "has", "have", "had", "can", "could"),
    *("will", "would", "should", "shall", "may", "might", "must", "isn't", "aren't", "don't", "doesn't", "didn't"),
}
PREPOSITIONS = {
    *("in", "on", "at", "to", "for", "from", "with", "by", "about", "than", "as", "into", "over", "under", "between"),
    *("after", "before", "during", "without", "against", "around", "near", "through", "across", "besides", "when"),
    *("if", "because", "while", "where", "that", "which", "who", "versus", "vs", "related", "like", "up", "off"),
}
_PRONOUNS = {"i", "you", "we", "me", "us", "my", "your", "our", "one", "ones", "there", "here", "someone", "people"}
CONJUNCTIONS = {"and", "or", "but", "not", "so", "then"}
_COMMANDS = {"tell", "describe", "explain", "give", "show", "list", "compare", "find", "discuss", "define", "talk"}
_VERBS = {
    *(
        "get",
        "make",
        "makes",
        "made",
        "cause",
        "causes",
        "caused",
        "affect",
        "affects",
        "help",
        "helps",
        "work",
        "works",
    ),
    *("need", "know", "known", "take", "takes", "become", "became", "come", "comes", "came", "go", "goes", "went"),
    *("happen", "happened", "happens", "start", "started", "end", "ended", "compare", "differ", "treat", "treated"),
    *("use", "used", "using", "find", "found", "created", "create", "create", "called", "call", "eat", "live", "lives"),
    *("die", "died", "choose", "chose", "chosen", "win", "won", "spread", "carry", "contain", "contains", "mean"),
    *("save", "suffering", "formed", "form", "generated", "generate", "become", "play", "playing", "cost", "costs"),
    *("weigh", "weighs", "build", "built", "invented", "discovered", "changed", "change", "grow", "kill", "begin"),
    *("see", "sleep", "improve", "improves", "exist", "exists", "keep", "put", "shift", "shifted", "made", "produced"),
    *("say", "says", "said", "think", "want", "wanted", "given", "give", "founded", "famous", "important"),
    *("bad", "good", "best", "better", "safe", "secure", "possible", "common", "commonly", "different", "similar"),
    *("long", "much", "many", "often", "more", "most", "main", "first", "last", "largest", "biggest", "difficult"),
    *("worth", "interesting", "influential", "typical", "traditional", "successful", "effective", "ethical"),
    *("generally", "really", "originally", "still", "also", "just", "even", "only", "ever", "now", "today", "too"),
    *("prevent", "prevented", "protect", "support", "supports", "require", "requires", "provide", "provides", "taught"),
    *("seeing", "doing", "going", "done", "earn", "pay", "buy", "sell", "read", "write", "wrote", "written", "born"),
    *(
        "key",
        "major",
        "negative",
        "positive",
        "early",
        "new",
        "old",
        "modern",
        "natural",
        "specific",
        "certain",
        "general",
    ),
}
CLOSED = (
    ARTICLES
    | QUESTION
    | AUXILIARY
    | PREPOSITIONS
    | _PRONOUNS
    | CONJUNCTIONS
    | _COMMANDS
    | _VERBS
    | SUBJECTS
    | POSSESSIVES
    | _DETERMINERS
)
# Nouns that name a side of something else: on their own they leave the something out.
_RELATIONAL = {
    *("symptom", "sign", "cause", "effect", "side effect", "benefit", "advantage", "disadvantage", "type", "kind"),
    *("role", "origin", "history", "theme", "character", "member", "difference", "similarity", "importance", "purpose"),
    *("characteristic", "example", "use", "feature", "impact", "reason", "risk", "treatment", "source", "property"),
    *("component", "part", "layer", "stage", "step", "principle", "finding", "result", "objective", "goal", "problem"),
    *("criticism", "significance", "implication", "application", "alternative", "factor", "method", "way", "form"),
    *("pro", "con", "challenge", "evidence", "contribution", "relationship", "variation", "ingredient", "price"),
    *("cost", "size", "population", "capital", "author", "director", "founder", "inventor", "leader", "owner", "plot"),
    *("model", "class", "function", "invention", "founding", "creation", "development", "level", "element", "aspect"),
    *("consequence", "complication", "requirement", "rule", "law", "policy", "argument", "controversy", "competitor"),
    *("outcome", "remedy", "cure", "test", "prevention", "meaning", "definition", "summary", "time", "tradition"),
    *("version", "variety", "breed", "species", "network", "ending", "genre", "artist", "work", "project", "trail"),
}


class Phrase(msgspec.Struct, frozen=True):
    """A noun phrase. `relational`: its head names a side of something else; `opened`: "of", "the" or nothing."""

    text: str
    relational: bool
    opened: str
    position: int


def phrases(body: str) -> list[Phrase]:
    """Noun phrases in order: maximal runs of words outside the closed classes, joined by "of" after a name."""
    out: list[Phrase] = []
    run: list[str] = []
    previous = opened = ""
    start = 0

    def close() -> None:
        while run and run[-1].lower() in CONJUNCTIONS | ARTICLES:
            run.pop()
        if run:
            named = any(_proper(word) for word in run)
            relational = not named and is_relational(run[-1].lower())
            out.append(Phrase(" ".join(run), relational, "" if named and opened != "of" else opened, start))
        run.clear()

    matches = list(_WORD.finditer(body))
    for number, match in enumerate(matches):
        token = match.group()
        low = token.lower()
        proper = _proper(token)
        named = (proper and (run or (match.start() > 0 and low in _VERBS))) or (token.isupper() and len(token) > 1)
        closed = low in CLOSED and not named
        if closed or not token[0].isalnum() or (previous == "how" and not run and not proper):
            joins = low == "of" and run and any(_proper(word) for word in run)
            if joins or (low == "the" and run and run[-1] == "of"):
                run.append(token)
                continue
            close()
            if low == "the":
                previous = f"{previous} the"
            elif low == "of" or low not in ARTICLES:
                previous = low
            continue
        following = matches[number + 1].group() if number + 1 < len(matches) else ""
        if run and not proper and _proper(run[-1]) and (_proper(following) or following in ("the", "a", "an")):
            # Between a name and another one stands a verb.
            close()
            previous = low
            continue
        if not run:
            start = match.start()
            opened = "of" if previous.startswith("of") else "the" if previous.endswith("the") else ""
        run.append(token)
        previous = low
    close()
    return out


def _proper(token: str) -> bool:
    return token[:1].isupper()


def is_relational(word: str) -> bool:
    """Whether a noun, singular or plural, names a side of something else ("symptoms")."""
    for ending, put in (("", ""), ("s", ""), ("es", ""), ("ies", "y"), ("es", "is")):
        if word.endswith(ending) and (word[: len(word) - len(ending)] if ending else word) + put in _RELATIONAL:
            return True
    return False
