"""What an operator may set about keys and tenants: budgets, limits, where they are kept, tokens of end users."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from hapenny.admission.windows import parse


class BudgetOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What may be used in a window: money, tokens, or both."""

    usd: Annotated[float | None, Meta(description="Dollars.")] = None
    tokens: Annotated[int | None, Meta(description="Tokens of prompts and answers together.")] = None
    window: Annotated[
        str,
        Meta(
            description="`day` or `month`: of the calendar, in `admission.timezone`; or a rolling span such as "
            "`90m`, `24h` or `7d`.",
        ),
    ] = "month"
    alert_at: Annotated[
        tuple[float, ...],
        Meta(description="Shares of the budget at which an alert is sent, once a window each."),
    ] = (0.8, 1.0)

    def __post_init__(self) -> None:
        if self.usd is None and self.tokens is None:
            raise ValueError("a budget needs usd or tokens")
        if (self.usd is not None and not 0 < self.usd <= 1e9) or (self.tokens is not None and self.tokens < 1):
            raise ValueError("a budget allows something: give usd above 0 and at most 1e9, tokens of at least 1")
        if any(not 0 < share <= 1 for share in self.alert_at):
            raise ValueError("alert_at: give shares above 0 and at most 1")
        parse(self.window)


class Allowance(Struct, kw_only=True, forbid_unknown_fields=True):
    """How much somebody may use."""

    budgets: Annotated[list[BudgetOptions], Meta(description="Every one of them holds.")] = field(default_factory=list)
    requests_per_minute: Annotated[
        int | None,
        Meta(description="Requests that ask a model; records of batches are not counted."),
    ] = None
    tokens_per_minute: Annotated[int | None, Meta(description="Tokens of prompts and answers of such requests.")] = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value} allows nothing; give at least 1, or leave it out")


class TenantOptions(Allowance, kw_only=True, forbid_unknown_fields=True):
    """What all keys of a tenant may do together. A key may do what both it and its tenant may."""

    models: Annotated[
        list[str],
        Meta(description="Models and tiers its keys may ask for; `*` is all."),
    ] = field(default_factory=lambda: ["*"])
    routes: Annotated[
        list[str],
        Meta(description="Routes its keys may ask for."),
    ] = field(default_factory=lambda: ["*"])
    priority: Annotated[int, Meta(description="The highest priority that its requests may ask for.")] = 100


class UserTokenOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Signed tokens (JWT) that say which end user asks, and which document-access groups that user has. They come
    beside the key, never instead of it. Needs the extra `jwt`."""

    issuer: Annotated[str, Meta(description="Its `iss`.")]
    audience: Annotated[str, Meta(description="Its `aud`.")]
    jwks_file: Annotated[
        str,
        Meta(description="File with the issuer's public keys (a JWK set); read again when it changes."),
    ]
    header: Annotated[str, Meta(description="The header that carries it.")] = "x-hapenny-token"
    groups_claim: Annotated[
        str,
        Meta(
            description="The claim with the groups, a list or words with spaces between. They take the place of "
            "the key's groups.",
        ),
    ] = "groups"
    user_claim: Annotated[
        str,
        Meta(
            description="A claim that names the end user, e.g. `sub`; it goes before what the client says. Empty: "
            "none.",
        ),
    ] = ""
    required: Annotated[
        bool,
        Meta(description="Refuse requests without one; else those have the key's groups."),
    ] = False


class AdmissionOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where keys, tenants, budgets and the pause switch are kept, and how they are read."""

    store: Annotated[
        str | None,
        Meta(
            description="What `hapenny keys` and `/v1/admin` write: the path of a SQLite file, of a `.json` file, "
            "or `postgresql://…`. None: beside the ledger (`ledger.admission.state.db`), in memory if "
            "there is no ledger file.",
        ),
    ] = None
    refresh_s: Annotated[
        float,
        Meta(description="After how long a change that another process made is noticed at the latest."),
    ] = 2.0
    timezone: Annotated[str, Meta(description="In which calendar days and months begin.")] = "UTC"
    sealing_key: Annotated[
        str,
        Meta(
            description="Secret that encrypts the secrets of AWS key pairs, which have to be readable to verify "
            "signatures. Needs the extra `content`. Best given as `${NAME}`.",
        ),
    ] = ""
    user_tokens: Annotated[UserTokenOptions | None, Meta(description="Groups of end users from signed tokens.")] = None
