"""What an operator may set about guardrails."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.guarding.actions import Action, Style, actions_of
from hapenny.guarding.topics import Topics


class GuardRules(Struct, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route."""

    items: dict[str, Action] = field(default_factory=lambda: {"all": "redact"})
    """What is done (off, note, redact, block) about items by kind: secret, iban, card, email, ip, my_number, cccd, ssn,
    phone, postal_code; also address and person, of which rules find only some. `all` is every kind but those two,
    `national_id` the three ids; a kind's own word goes before a group's."""
    deny: dict[str, list[str]] = field(default_factory=dict)
    """Topics that are blocked, each by its phrases; `*` in a phrase stands for up to 40 characters."""
    watch: dict[str, list[str]] = field(default_factory=dict)
    """Topics that are noted, each by its phrases."""
    style: Style = "placeholder"
    """How what is redacted is written: `placeholder` puts `[EMAIL]` in its place, `mask` a `*` for each letter and
    digit."""
    message: str = "This was stopped by a guardrail."
    """What the client reads in place of what is blocked; empty: nothing."""
    remote: str = ""
    """A guardrail under `guardrails` that is asked as well."""

    def __post_init__(self) -> None:
        actions_of(self.items)
        Topics({**self.deny, **self.watch})


class InputRules(GuardRules, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route for what clients send."""

    injection: Action = "note"
    """What is done about known phrasings of prompt injection in tool results and documents; `redact` takes the sentence
    out. It finds phrasings that are known, and no others."""
    system: bool = False
    """Whether system prompts are read too: they are the operator's own words."""


class InputOptions(InputRules, kw_only=True, forbid_unknown_fields=True):
    """Guardrails on what clients send: turns, tool results, documents."""

    routes: dict[str, InputRules] = field(default_factory=dict)
    """Rules of a route in place of these."""


class ContextRules(GuardRules, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route for retrieved passages."""

    items: dict[str, Action] = field(default_factory=dict)
    """As for input; nothing by default: who may see a document may see what it says."""
    injection: Action = "note"
    """What is done about known phrasings of prompt injection in passages; `redact` takes the sentence out."""


class ContextOptions(ContextRules, kw_only=True, forbid_unknown_fields=True):
    """Guardrails on what retrieval puts into a request."""

    routes: dict[str, ContextRules] = field(default_factory=dict)
    """Rules of a route in place of these."""


class OutputRules(GuardRules, kw_only=True, forbid_unknown_fields=True):
    """The rules of one route for answers."""

    max_characters: int | None = None
    """The longest text of an answer; it ends there with the stop reason of a length limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_characters is not None and self.max_characters < 1:
            raise ValueError(f"max_characters: {self.max_characters} is not above 0")


class OutputOptions(OutputRules, kw_only=True, forbid_unknown_fields=True):
    """Guardrails on answers, whoever gave them: a model or a cache."""

    routes: dict[str, OutputRules] = field(default_factory=dict)
    """Rules of a route in place of these."""


class GuardrailOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """A guardrail that a provider runs.

    `kind`: `apply` is Bedrock's ApplyGuardrail with a guardrail of your account (`guardrail`, `version`), `checks` its
    InvokeGuardrailChecks, which needs none: the checks stand here, and what they find is redacted or blocked here.
    """

    kind: Literal["apply", "checks"] = "apply"
    guardrail: str = ""
    """Id or ARN of a guardrail (`apply`)."""
    version: str = "DRAFT"
    """Its version."""
    region: str = "us-east-1"
    """AWS region."""
    profile: str | None = None
    """Profile of the AWS credentials file."""
    base_url: str = ""
    """URL instead of the region's."""
    content: bool = False
    """Whether content filters run (`checks`)."""
    prompt_attack: bool = True
    """Whether prompt attacks are looked for in input (`checks`)."""
    sensitive: bool = False
    """Whether sensitive information is looked for; it is redacted (`checks`)."""
    severity: float = 0.5
    """From which severity or confidence a check counts, 0 to 1 (`checks`)."""
    deadline_s: float = 1.0
    """How long it may take."""
    on_failure: Literal["closed", "open"] = "closed"
    """What happens where it does not answer in time: `closed` refuses with 503, `open` goes on and says so."""
    connect_s: float = 2.0
    """How long a connection may take to open."""

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
