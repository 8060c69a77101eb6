"""Soft limits: tells the operator when a budget has come to a share of itself, once a window."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hapenny.admission.budgets import Spent
from hapenny.admission.holders import Account, Holders
from hapenny.core.money import NANO
from hapenny.telemetry.alerts import Alerts


class BudgetAlerts:
    """Listens to what budgets have spent.

    Args:
        holders: whose budgets they are.
        alerts: tells the operator.
    """

    def __init__(self, holders: Holders, alerts: Alerts) -> None:
        self._holders = holders
        self._alerts = alerts
        self._accounts: dict[str, Account] = {}
        self._latest: dict[str, Spent] = {}

    def spent(self, spent: Spent) -> None:
        """Takes a settlement. The one that crosses a share tells of it, whichever process that is in."""
        account = self._account(spent.account)
        if account is None:
            return
        self._latest[account.name] = spent
        for share in sorted(account.alert_at):
            if spent.before < math.ceil(account.limit * share) <= spent.after:
                self._alerts.send(
                    "budget", account.title, share=share, spent=_shown(account, spent.after),
                    limit=_shown(account, account.limit), unit=account.unit, window=account.window.kind,
                )  # fmt: skip

    def figures(self) -> Iterator[tuple[tuple[str, str], float]]:
        """What this process knows to be spent, by account and unit: dollars or tokens."""
        for name, spent in list(self._latest.items()):
            account = self._accounts[name]
            yield (name, account.unit), _shown(account, spent.after)

    def limits(self) -> Iterator[tuple[tuple[str, str], float]]:
        """The limits of the same accounts."""
        for name in list(self._latest):
            account = self._accounts[name]
            yield (name, account.unit), _shown(account, account.limit)

    def _account(self, name: str) -> Account | None:
        if name not in self._accounts:
            self._accounts = {account.name: account for account in self._holders.all()}
        return self._accounts.get(name)


def _shown(account: Account, amount: int) -> float:
    return amount / NANO if account.unit == "usd" else float(amount)
