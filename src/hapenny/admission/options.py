"""What an operator may set about keys and tenants: budgets, limits, where they are kept, tokens of end users."""

from __future__ import annotations

from msgspec import Struct, field

from hapenny.admission.windows import parse


class BudgetOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What may be used in a window: money, tokens, or both."""

    usd: float | None = None
    """Dollars."""
    tokens: int | None = None
    """Tokens of prompts and answers together."""
    window: str = "month"
    """`day` or `month`: of the calendar, in `admission.timezone`; or a rolling span such as `90m`, `24h` or `7d`."""
    alert_at: tuple[float, ...] = (0.8, 1.0)
    """Shares of the budget at which an alert is sent, once a window each."""

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

    budgets: list[BudgetOptions] = field(default_factory=list)
    """Every one of them holds."""
    requests_per_minute: int | None = None
    """Requests that ask a model; records of batches are not counted."""
    tokens_per_minute: int | None = None
    """Tokens of prompts and answers of such requests."""

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value} allows nothing; give at least 1, or leave it out")


class TenantOptions(Allowance, kw_only=True, forbid_unknown_fields=True):
    """What all keys of a tenant may do together. A key may do what both it and its tenant may."""

    models: list[str] = field(default_factory=lambda: ["*"])
    """Models and tiers its keys may ask for; `*` is all."""
    routes: list[str] = field(default_factory=lambda: ["*"])
    """Routes its keys may ask for."""
    priority: int = 100
    """The highest priority that its requests may ask for."""


class UserTokenOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Signed tokens (JWT) that say which end user asks, and which document-access groups that user has. They come
    beside the key, never instead of it. Needs the extra `jwt`."""

    issuer: str
    """Its `iss`."""
    audience: str
    """Its `aud`."""
    jwks_file: str
    """File with the issuer's public keys (a JWK set); read again when it changes."""
    header: str = "x-hapenny-token"
    """The header that carries it."""
    groups_claim: str = "groups"
    """The claim with the groups, a list or words with spaces between. They take the place of the key's groups."""
    user_claim: str = ""
    """A claim that names the end user, e.g. `sub`; it goes before what the client says. Empty: none."""
    required: bool = False
    """Refuse requests without one; else those have the key's groups."""


class AdmissionOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where keys, tenants, budgets and the pause switch are kept, and how they are read."""

    store: str | None = None
    """What `hapenny keys` and `/v1/admin` write: the path of a SQLite file, of a `.json` file, or `postgresql://…`.
    None: beside the ledger (`ledger.admission.state.db`), in memory if there is no ledger file."""
    refresh_s: float = 2.0
    """After how long a change that another process made is noticed at the latest."""
    timezone: str = "UTC"
    """In which calendar days and months begin."""
    sealing_key: str = ""
    """Secret that encrypts the secrets of AWS key pairs, which have to be readable to verify signatures. Needs the
    extra `content`. Best given as `${NAME}`."""
    user_tokens: UserTokenOptions | None = None
    """Groups of end users from signed tokens."""
