"""What an operator may set about retrieval; the room itself is loaded where a route or a collection asks for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hapenny.core.stage_spec import Phase, StageSpec


class RetrievalOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a route retrieves."""

    collection: Annotated[str, Meta(description="Name of the collection that is searched.")] = ""
    filter: Annotated[
        dict[str, Any] | None,
        Meta(
            description="What passages must be like, besides what the request's header `x-hapenny-filter` or its "
            "metadata `hapenny_filter` adds.",
        ),
    ] = None
    stated_filters: Annotated[
        bool,
        Meta(
            description='Whether bounds that a question states in so many words ("under 50 euro", "volume 3") '
            "filter what is searched.",
        ),
    ] = True
    seconds: Annotated[float, Meta(description="How long the search may take at most.")] = 0.5
    remote: Annotated[
        bool,
        Meta(
            description="Whether paid models help: a reranker when the order is unclear, the fast tier when a "
            "follow-up question cannot be resolved by rule. In shadow they are not asked.",
        ),
    ] = False
    rerank_model: Annotated[str | None, Meta(description="A name under `rerankers`; the first if left out.")] = None
    beside_cache: Annotated[
        bool | None,
        Meta(
            description="Whether the search begins beside the look-up of the semantic cache: sooner, and in vain where "
            "that answers. None: on routes with a deadline.",
        ),
    ] = None
    baseline_passages: Annotated[
        int | None,
        Meta(
            description="How many passages the application would send without hapenny, which is what the books compare "
            "with: the best so many of the collection. None: those that retrieval chose, before they are pruned, so "
            "that retrieval itself neither costs nor saves. 0: none, so that all that it adds is a cost.",
        ),
    ] = None
    instruction: Annotated[
        str,
        Meta(description="What the model is told above the passages."),
    ] = "Use these sources where they help, and cite them as [1], [2]."

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"seconds: {self.seconds}; use a time above 0")
        if self.baseline_passages is not None and not 0 <= self.baseline_passages <= 100:
            raise ValueError(f"baseline_passages: {self.baseline_passages}; give 0 to 100")
        if self.filter is not None:
            from hapenny.retrieval.filters import parse  # only where there is one: the room is loaded when it is used

            parse(self.filter)


class KnowledgeBaseOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A knowledge base of Amazon Bedrock. Who may see a document says its metadata: `tenant_field` names a text,
    `group_field` a list of texts, and `*` there means everybody; a document without the field is seen by nobody.
    `everybody`: there is no such metadata, and every caller may see everything."""

    id: Annotated[str, Meta(description="Its id: ten letters and digits.")]
    region: Annotated[str, Meta(description="AWS region.")] = "us-east-1"
    tenant_field: Annotated[
        str, Meta(description="The metadata that names whose a document is, `*` for everybody's.")
    ] = ""
    group_field: Annotated[
        str, Meta(description="The metadata that lists the groups that may see a document, `*` for all.")
    ] = ""
    everybody: Annotated[bool, Meta(description="Every caller may see every document.")] = False
    search: Annotated[
        Literal["HYBRID", "SEMANTIC"],
        Meta(description="By words and meaning, or by meaning alone (not every vector store has the former)."),
    ] = "HYBRID"
    results: Annotated[int, Meta(description="Passages to ask for, of which those that leave are chosen.")] = 10
    seconds: Annotated[
        float, Meta(description="How long it may take; after that the request goes on without passages.")
    ] = 2.0
    profile: Annotated[str, Meta(description="Profile of the AWS credentials file.")] = ""
    base_url: Annotated[str, Meta(description="URL instead of the region's.")] = ""

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

    margin: Annotated[
        float,
        Meta(
            description="Ask only when the scores of the last passage kept and the first one dropped are closer "
            "than this.",
        ),
    ] = 0.15
    depth: Annotated[int, Meta(description="Passages a model is shown.")] = 25
    seconds: Annotated[
        float,
        Meta(description="How long reranking may take; after that the order stays as fused."),
    ] = 0.25
    characters: Annotated[int, Meta(description="Of each passage, at most.")] = 2000
    rewrite_seconds: Annotated[
        float,
        Meta(description="How long the fast tier may take to resolve what a question refers to."),
    ] = 0.4

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
