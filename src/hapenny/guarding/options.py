"""What an operator may set about guardrails."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.guarding.actions import Action, Style, actions_of
from hapenny.guarding.topics import Topics


class GuardRules(Struct, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route."""

    items: Annotated[
        dict[str, Action],
        Meta(
            description="What is done (off, note, redact, block) about items by kind: secret, iban, card, email, "
            "ip, my_number, cccd, ssn, phone, postal_code; also address and person, of which rules "
            "find only some. `all` is every kind but those two, `national_id` the three ids; a kind's "
            "own word goes before a group's.",
        ),
    ] = field(default_factory=lambda: {"all": "redact"})
    deny: Annotated[
        dict[str, list[str]],
        Meta(
            description="Topics that are blocked, each by its phrases; `*` in a phrase stands for up to 40 characters.",
        ),
    ] = field(default_factory=dict)
    watch: Annotated[
        dict[str, list[str]],
        Meta(description="Topics that are noted, each by its phrases."),
    ] = field(default_factory=dict)
    style: Annotated[
        Style,
        Meta(
            description="How what is redacted is written: `placeholder` puts `[EMAIL]` in its place, `mask` a `*` "
            "for each letter and digit.",
        ),
    ] = "placeholder"
    message: Annotated[
        str,
        Meta(description="What the client reads in place of what is blocked; empty: nothing."),
    ] = "This was stopped by a guardrail."
    remote: Annotated[str, Meta(description="A guardrail under `guardrails` that is asked as well.")] = ""

    def __post_init__(self) -> None:
        actions_of(self.items)
        Topics({**self.deny, **self.watch})


class InputRules(GuardRules, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route for what clients send."""

    injection: Annotated[
        Action,
        Meta(
            description="What is done about known phrasings of prompt injection in tool results and documents; "
            "`redact` takes the sentence out. It finds phrasings that are known, and no others.",
        ),
    ] = "note"
    system: Annotated[
        bool,
        Meta(description="Whether system prompts are read too: they are the operator's own words."),
    ] = False


class InputOptions(InputRules, kw_only=True, forbid_unknown_fields=True):
    """Guardrails on what clients send: turns, tool results, documents."""

    routes: Annotated[
        dict[str, InputRules],
        Meta(description="Rules of a route in place of these."),
    ] = field(default_factory=dict)


class ContextRules(GuardRules, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route for retrieved passages."""

    items: Annotated[
        dict[str, Action],
        Meta(description="As for input; nothing by default: who may see a document may see what it says."),
    ] = field(default_factory=dict)
    injection: Annotated[
        Action,
        Meta(
            description="What is done about known phrasings of prompt injection in passages; `redact` takes the "
            "sentence out.",
        ),
    ] = "note"


class ContextOptions(ContextRules, kw_only=True, forbid_unknown_fields=True):
    """Guardrails on what retrieval puts into a request."""

    routes: Annotated[
        dict[str, ContextRules],
        Meta(description="Rules of a route in place of these."),
    ] = field(default_factory=dict)


class OutputRules(GuardRules, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route for answers."""

    max_characters: Annotated[
        int | None,
        Meta(description="The longest text of an answer; it ends there with the stop reason of a length limit."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_characters is not None and self.max_characters < 1:
            raise ValueError(f"max_characters: {self.max_characters} is not above 0")


class OutputOptions(OutputRules, kw_only=True, forbid_unknown_fields=True):
    """Guardrails on answers, whoever gave them: a model or a cache."""

    routes: Annotated[
        dict[str, OutputRules],
        Meta(description="Rules of a route in place of these."),
    ] = field(default_factory=dict)


class GuardrailOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """A guardrail that a provider runs.

    With `apply` it belongs to your account; with `checks` the checks stand here, and what they find is redacted or
    blocked here.
    """

    kind: Annotated[
        Literal["apply", "checks"],
        Meta(
            description="`apply`: Bedrock's ApplyGuardrail with a guardrail of your account (`guardrail`, "
            "`version`). `checks`: its InvokeGuardrailChecks, which needs none.",
        ),
    ] = "apply"
    guardrail: Annotated[str, Meta(description="Id or ARN of a guardrail (`apply`).")] = ""
    version: Annotated[str, Meta(description="Its version.")] = "DRAFT"
    region: Annotated[str, Meta(description="AWS region.")] = "us-east-1"
    profile: Annotated[str | None, Meta(description="Profile of the AWS credentials file.")] = None
    base_url: Annotated[str, Meta(description="URL instead of the region's.")] = ""
    content: Annotated[bool, Meta(description="Whether content filters run (`checks`).")] = False
    prompt_attack: Annotated[
        bool,
        Meta(description="Whether prompt attacks are looked for in input (`checks`)."),
    ] = True
    sensitive: Annotated[
        bool,
        Meta(description="Whether sensitive information is looked for; it is redacted (`checks`)."),
    ] = False
    severity: Annotated[
        float,
        Meta(description="From which severity or confidence a check counts, 0 to 1 (`checks`)."),
    ] = 0.5
    deadline_s: Annotated[float, Meta(description="How long it may take.")] = 1.0
    on_failure: Annotated[
        Literal["closed", "open"],
        Meta(
            description="What happens where it does not answer in time: `closed` refuses with 503, `open` goes on "
            "and says so.",
        ),
    ] = "closed"
    connect_s: Annotated[float, Meta(description="How long a connection may take to open.")] = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.deadline_s <= 60:
            raise ValueError(f"deadline_s: {self.deadline_s:g} is outside 0 to 60")
        if not 0 <= self.severity <= 1:
            raise ValueError(f"severity: {self.severity:g} is outside 0 to 1")
        if self.kind == "apply" and not self.guardrail:
            raise ValueError("guardrail: empty; give the id of a guardrail, or kind: checks")


GUARD_OUTPUT_STAGE = StageSpec(
    name="guard_output", options=OutputOptions, phase=Phase.KEY, safe="off", safety=True,
    does="redacts and stops answers on their way out, those of caches too",
)  # fmt: skip
GUARD_INPUT_STAGE = StageSpec(
    name="guard_input", options=InputOptions, phase=Phase.KEY, safe="off", safety=True,
    does="redacts or refuses what clients send, before anybody else reads it",
)  # fmt: skip
GUARD_CONTEXT_STAGE = StageSpec(
    name="guard_context", options=ContextOptions, phase=Phase.SHAPE, safe="off", safety=True,
    does="redacts retrieved passages and looks for known injections in them",
)  # fmt: skip
