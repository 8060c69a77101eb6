"""Who may use how much: the budgets and rate limits that hold for a request, of its key and of its tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

from hapenny.admission.budgets import Charge
from hapenny.admission.options import Allowance, BudgetOptions
from hapenny.admission.registry import Registry
from hapenny.admission.windows import Window, parse, span
from hapenny.core.money import NANO
from hapenny.stores.counters import Limit

Unit: TypeAlias = Literal["usd", "tokens"]
_KEPT = 10_000


class Account(NamedTuple):
    """One budget of one holder. `limit` is in nano-dollars or tokens."""

    name: str
    unit: Unit
    limit: int
    window: Window
    alert_at: tuple[float, ...]
    title: str
    """For people: whose it is, of what, in which window."""


class Rate(NamedTuple):
    """One limit a minute."""

    unit: Literal["requests", "tokens"]
    key: str
    limit: Limit


class Holder(NamedTuple):
    """What holds for the requests of a key."""

    accounts: tuple[Account, ...]
    rates: tuple[Rate, ...]

    @property
    def pays(self) -> bool:
        """Whether a price has to be known."""
        return any(account.unit == "usd" for account in self.accounts)


class Holders:
    """Finds holders by tenant and key.

    Args:
        keys: the configuration's, by key id.
        registry: stored keys, and tenants.
        zone: in which calendar days begin.
    """

    def __init__(self, keys: Mapping[str, Allowance], registry: Registry, zone: tzinfo) -> None:
        self._keys = {id: allowance for id, allowance in keys.items() if _says(allowance)}
        self.keyed = bool(self._keys)
        """Whether a key of the configuration has limits."""
        self.registry = registry
        self._zone = zone
        self._revision = -1
        self._known: dict[tuple[str, str], Holder | None] = {}

    def of(self, tenant: str, key_id: str) -> Holder | None:
        """What holds for a key of a tenant; None: nothing does."""
        if self._revision != self.registry.revision:
            self._known, self._revision = {}, self.registry.revision
        name = (tenant, key_id)
        try:
            return self._known[name]
        except KeyError:
            holder = self._made(tenant, key_id)
            if len(self._known) < _KEPT:
                self._known[name] = holder
            return holder

    def all(self) -> list[Account]:
        """Every account there is, in order of name."""
        registry = self.registry
        accounts: list[Account] = []
        for id, allowance in self._keys.items():
            accounts += _accounts(f"key:{id}", allowance.budgets)
        for record in registry.records():
            accounts += _accounts(f"key:{record.id}", record.budgets)
        for name, options in registry.tenants().items():
            if name != "*":
                accounts += _accounts(f"tenant:{name}", options.budgets)
        known = {account.name for account in accounts}
        for holder in self._known.values():  # tenants that are spoken of by `*` alone, as far as they have come
            accounts += [each for each in holder.accounts if each.name not in known] if holder is not None else []
            known = {account.name for account in accounts}
        return sorted(accounts, key=lambda account: account.name)

    def charge(self, account: Account, amount: int, now: float) -> Charge:
        """What `amount` in an account is at a moment."""
        current = span(account.window, now, self._zone)
        return Charge(account.name, current.first, current.slice, account.limit, amount)

    def ends(self, account: Account, now: float) -> int:
        """When something becomes free again by itself, in epoch seconds."""
        return span(account.window, now, self._zone).ends

    def _made(self, tenant: str, key_id: str) -> Holder | None:
        of_key: Allowance | None = self._keys.get(key_id)
        record = self.registry.record(key_id) if of_key is None and key_id else None
        if record is not None:
            of_key = Allowance(
                budgets=list(record.budgets),
                requests_per_minute=record.requests_per_minute,
                tokens_per_minute=record.tokens_per_minute,
            )
        of_tenant = self.registry.tenant(tenant)
        accounts: list[Account] = []
        rates: list[Rate] = []
        for name, allowance in ((f"key:{key_id}", of_key), (f"tenant:{tenant}", of_tenant)):
            if allowance is not None:
                accounts += _accounts(name, allowance.budgets)
                rates += _rates(tenant, name, allowance)
        return Holder(tuple(accounts), tuple(rates)) if accounts or rates else None


def _says(allowance: Allowance) -> bool:
    return bool(allowance.budgets or allowance.requests_per_minute or allowance.tokens_per_minute)


def _accounts(holder: str, budgets: Sequence[BudgetOptions]) -> list[Account]:
    accounts: list[Account] = []
    for budget in budgets:
        window = parse(budget.window)
        amounts: list[tuple[Unit, int]] = []
        if budget.usd is not None:
            amounts.append(("usd", int(Decimal(str(budget.usd)) * NANO)))
        if budget.tokens is not None:
            amounts.append(("tokens", budget.tokens))
        for unit, limit in amounts:
            name = f"{holder}/{unit}/{budget.window}"
            accounts.append(Account(name, unit, limit, window, budget.alert_at, name.replace("/", " ")))
    return accounts


def _rates(tenant: str, holder: str, allowance: Allowance) -> list[Rate]:
    """Limits of one tenant and its keys share a slot in a cluster: they are reserved together."""
    rates: list[Rate] = []
    if allowance.requests_per_minute is not None:
        limit = Limit(amount=float(allowance.requests_per_minute))
        rates.append(Rate("requests", f"{{admission:{tenant}}}:{holder}:rpm", limit))
    if allowance.tokens_per_minute is not None:
        limit = Limit(amount=float(allowance.tokens_per_minute))
        rates.append(Rate("tokens", f"{{admission:{tenant}}}:{holder}:tpm", limit))
    return rates
