"""One service rule, and the words in which a service says that a request breaks it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from hapenny.core.errors import Failure
from hapenny.protocols.rules.subject import Service

How: TypeAlias = Literal["repair", "refuse"]
MODEL = "The model returned the following errors: "
"""How Converse introduces what the model's own validation says."""


class Rule(Struct, frozen=True, kw_only=True):
    """One thing services refuse beyond their schemas.

    `words` are the services' own messages (braces are filled in), by service: those that have the rule. `how` says what
    becomes of a request that breaks it: `repair` rewrites it and says so in the answer's headers, `refuse` answers 400
    in the client's dialect. `always`: repaired also where client and provider speak the same dialect, because what
    breaks the rule may come from another model behind this gateway. `date`: when the source said so; where no report
    quotes the service, `source` ends in `constructed`.
    """

    name: str
    words: dict[Service, str]
    how: How
    source: str
    date: str
    field: str = "messages"
    fix: str = ""
    always: bool = False
    status: int = 400


class Breach(Struct, frozen=True):
    """A request breaks a rule: the words the service would say."""

    rule: Rule
    said: str

    def refusal(self, service: Service) -> Failure:
        """What the service answers."""
        denied = self.rule.status == 403
        if service in ("converse", "invoke"):
            type_ = "AccessDeniedException" if denied else "ValidationException"
        else:
            type_ = "invalid_request_error"
        return Failure(
            "permission" if denied else "invalid_request",
            self.said,
            upstream_status=self.rule.status,
            upstream_type=type_,
        )

    def failure(self) -> Failure:
        """What the client is told before anything is sent."""
        return Failure("invalid_request", self.said, field=self.rule.field, fix=self.rule.fix or "change the request")


def rule(
    name: str,
    how: How,
    *,
    source: str,
    date: str,
    claude: str = "",
    messages: str = "",
    model: str = "",
    converse: str = "",
    invoke: str = "",
    openai: str = "",
    field: str = "messages",
    fix: str = "",
    always: bool = False,
    status: int = 400,
) -> Rule:
    """A rule, its words given by who says them.

    Args:
        name: what breaks it.
        how: see `Rule`; `source`, `date`, `field`, `fix`, `always` and `status` as well.
        claude: Claude's own validation, wherever it is called.
        messages: the messages API, at Anthropic and at Bedrock.
        model: a model's own validation behind Converse.
        converse, invoke, openai: that service alone.
    """
    words: dict[Service, str] = {}
    if converse:
        words["converse"] = converse
    elif model or claude:
        words["converse"] = MODEL + (model or claude)
    if said := messages or claude:
        words["anthropic"] = words["invoke"] = said
    if invoke:
        words["invoke"] = invoke
    if openai:
        words["openai"] = openai
    return Rule(
        name=name, words=words, how=how, source=source, date=date, field=field, fix=fix, always=always, status=status
    )
