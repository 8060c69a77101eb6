"""What an operator may set about retrieval; the room itself is loaded where a route or a collection asks for it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from hapenny.core.stage_spec import Phase, StageSpec


class RetrievalOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a route retrieves.

    `collection` is searched with `filter` (`filters.parse`), with what the request's header `x-hapenny-filter` or its
    metadata `hapenny_filter` adds, and with bounds that the question states; in at most `seconds`. `remote` lets paid
    models help: the reranker `rerank_model` (a name under `rerankers`; the first if left out) when the order is
    unclear, and the fast tier when a follow-up question cannot be resolved by rule. In shadow nobody is paid: they are
    not asked.
    """

    collection: str = ""
    filter: dict[str, Any] | None = None
    stated_filters: bool = True
    """Whether bounds that a question states in so many words ("under 50 euro", "volume 3") filter what is searched."""
    seconds: float = 0.5
    remote: bool = False
    rerank_model: str | None = None
    instruction: str = "Use these sources where they help, and cite them as [1], [2]."
    """What the model is told above the passages."""

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"seconds: {self.seconds}; use a time above 0")
        if self.filter is not None:
            from hapenny.retrieval.filters import parse  # only where there is one: the room is loaded when it is used

            parse(self.filter)


class KnowledgeBaseOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A knowledge base of Amazon Bedrock. Who may see a document says its metadata: `tenant_field` names a text,
    `group_field` a list of texts, and `*` there means everybody; a document without the field is seen by nobody.
    `everybody`: there is no such metadata, and every caller may see everything."""

    id: str
    """Its id: ten letters and digits."""
    region: str = "us-east-1"
    tenant_field: str = ""
    group_field: str = ""
    everybody: bool = False
    search: Literal["HYBRID", "SEMANTIC"] = "HYBRID"
    """By words and meaning, or by meaning alone (not every vector store of Bedrock's has the former)."""
    results: int = 10
    """Passages to ask for, of which those that leave are chosen."""
    seconds: float = 2.0
    """How long it may take; after that the request goes on without passages."""
    profile: str = ""
    """Profile of the AWS credentials file."""
    base_url: str = ""
    """URL instead of the region's."""

    def __post_init__(self) -> None:
        if not (len(self.id) == 10 and self.id.isalnum()):
            raise ValueError(f"id: {self.id[:64]!r} is no knowledge base's; it has ten letters and digits")
        if not 1 <= self.results <= 100:
            raise ValueError(f"results: {self.results}; give 1 to 100")
        if not 0 < self.seconds <= 60:
            raise ValueError(f"seconds: {self.seconds:g}; give more than 0 and at most 60")
        if self.everybody == bool(self.tenant_field or self.group_field):
            raise ValueError("say who may see its documents: tenant_field or group_field, or everybody: true")


class Remote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When paid models are asked, where they may be.

    `margin`: a reranker is asked for the first `depth` when the best score leads the last that would leave by less
    than this share; each passage is cut at `characters`. `seconds`: its time limit; when it is over, or less than
    that is left, the fused order stands. `rewrite_seconds`: the same for a model that rewrites the question.
    """

    margin: float = 0.15
    """Ask only when the scores of the last passage kept and the first one dropped are closer than this."""
    depth: int = 25
    """Passages a model is shown."""
    seconds: float = 0.25
    """How long reranking may take; after that the order stays as fused."""
    characters: int = 2000
    """Of each passage, at most."""
    rewrite_seconds: float = 0.4
    """How long the fast tier may take to resolve what a question refers to."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.margin <= 1.0:
            raise ValueError(f"margin: {self.margin}; use a share, 0 to 1")
        if not 2 <= self.depth <= 1000:
            raise ValueError(f"depth: {self.depth}; use 2 to 1000")
        if min(self.seconds, self.rewrite_seconds) <= 0 or self.characters < 1:
            raise ValueError("seconds, rewrite_seconds, characters: use values above 0")


RETRIEVAL_STAGE = StageSpec(
    name="retrieval", options=RetrievalOptions, phase=Phase.SHAPE, safe="off", saves=False,
    does="puts passages of a collection before the question, numbered for citation",
)  # fmt: skip
