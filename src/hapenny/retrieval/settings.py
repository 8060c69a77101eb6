"""How a collection is searched: every choice in one typed place, with the measured defaults."""

from __future__ import annotations

from typing import Literal

import msgspec

from hapenny.retrieval.search.fusion import SEED, Fusion
from hapenny.retrieval.search.rarest_term_boost import OFF, Closer
from hapenny.retrieval.search.scoring import Scoring
from hapenny.retrieval.stores.lexical import Boosts

TITLE_SHARE = 0.3
"""Weight of the title's own vector in a document's vector (the rest is title and text together)."""

Rerank = Literal["none", "learned"]

_SENTENCE, _PASSAGE = 15.0, 40.0
"""Words of documents that are one sentence, and of those that are passages."""
_BRIEF_ALPHA = 0.8
"""Weight of the vector leg for documents of one sentence."""


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What leaves: `least` to `most` hits, stopping at a drop of `margin` under the best or under `floor`.

    `floor`: `measured` keeps back what speaks no more for the question than for questions that the collection is not
    about (`floor.Floor`); a number is in units of the fused score (`train --floor` finds one); None lets all pass.
    `diversity` above 0 trades relevance for novelty; hits more alike than `duplicate` to a better one are dropped.
    `per_parent` bounds the chunks of one document.
    """

    least: int = 2
    most: int = 5
    margin: float = 0.35
    floor: float | Literal["measured"] | None = "measured"
    diversity: float = 0.0
    duplicate: float = 0.985
    per_parent: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.most:
            raise ValueError(f"least, most: {self.least}, {self.most}; use 1 <= least <= most")
        if not 0.0 <= self.diversity < 1.0:
            raise ValueError(f"diversity: {self.diversity}; use 0 up to 1")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection's search configuration.

    `calibrated`: where the embedder does not know the collection's language, the vector leg's weight shrinks with the
    collection's own likeness (`Store.alike`): where any two documents look alike to it, its cosine says little. Where
    it does know the language, likeness only says that the collection has one subject, and nothing shrinks. There the
    length of the documents decides what their words weigh (`of_length`).
    """

    fusion: Fusion = Fusion()
    boosts: Boosts = Boosts()
    scoring: Scoring = Scoring()
    closer: Closer = Closer()
    selection: Selection = Selection()
    rerank: Rerank = "none"
    calibrated: bool = True
    noise: tuple[str, ...] = ()
    style: dict[str, str] = {}
    """Words of the users and the collection's words for them ("nb" -> "notebook")."""

    repair: bool = False
    """Brings unknown query words into the collection's vocabulary (`vocabulary.repair`). Off: it moved nDCG by less
    than .001 either way on film, product and encyclopaedia search."""

    def of_length(self, words: float) -> Settings:
        """The settings for documents of so many words (the collection's median; infinite where they have titles).

        A document of one sentence (a question of a FAQ, a title) cannot hold all words that people have for its
        subject: which of the question's words it happens to hold says less than in a passage, so the words weigh less,
        and leaving out the rarest of them is no fault.
        """
        share = min(1.0, max(0.0, (_PASSAGE - words) / (_PASSAGE - _SENTENCE)))
        if not self.calibrated or self.fusion.method != "comparable" or share == 0.0:
            return self
        alpha = self.fusion.alpha + share * max(0.0, _BRIEF_ALPHA - self.fusion.alpha)
        return msgspec.structs.replace(
            self,
            fusion=msgspec.structs.replace(self.fusion, alpha=alpha),
            closer=msgspec.structs.replace(self.closer, rarest=(1.0 - share) * self.closer.rarest),
        )

    def weighted(self, alike: float) -> Fusion:
        """The fusion for vectors of an embedder that does not know the language."""
        if not self.calibrated or self.fusion.method != "comparable":
            return self.fusion
        return msgspec.structs.replace(self.fusion, alpha=self.fusion.alpha * (1.0 - min(1.0, alike)) ** 4)


_PLAIN = Scoring(rules=())
PRESETS = {
    "default": Settings(),
    "learned": Settings(rerank="learned"),
    "seed": Settings(fusion=SEED, scoring=_PLAIN, closer=OFF, calibrated=False),
    "rrf": Settings(fusion=Fusion(method="rrf", alpha=0.5), scoring=_PLAIN, closer=OFF),
    "bm25_alike": Settings(fusion=Fusion(alpha=0.0, vector=0)),
    "bm25": Settings(fusion=Fusion(method="lexical", vector=0), scoring=_PLAIN, closer=OFF),
    "vector": Settings(fusion=Fusion(method="vector", lexical=0), scoring=_PLAIN, closer=OFF),
}
