"""Business rules on top of relevance: popularity, recency, stock, price, and formulas per tenant.

A rule adds `weight * value` to the fused score, where the value is 0 to 1, so that weights mean the same in every
collection: .05 lifts the most popular document as much as .05 more cosine would.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = "Callable[[str], NDArray[np.float64]]"
"""Numeric field of the candidate rows; NaN where missing."""
Quantiles: TypeAlias = "Callable[[str], NDArray[np.float64]]"
"""Sorted reference values of a field over the collection (empty if it has none)."""

_YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)")
POPULARITY = (
    *("popularity", "views", "downloads", "sales", "orders", "clicks", "votes", "vote_count"),
    *("ratings", "rating_count", "reviews", "citations"),
)
"""Where the rule looks if it names no field."""
_FIRST_YEAR, _LAST_YEAR = 1000.0, 2200.0


class Popularity(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="popularity"
):
    """The document's quantile in the first of `fields` that the collection has, as far as the question's words match:
    it decides between documents of one name, and lifts nothing that is only alike. No default: `hapenny index train`
    adds it for a field that judged questions prefer."""

    weight: float = 0.08
    fields: tuple[str, ...] = POPULARITY


class Stated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="stated"):
    """1 where a year that the question states is the document's, in one of `fields`; without any, in whatever number of
    the collection holds nothing but years (`year_fields`)."""

    weight: float = 0.05
    fields: tuple[str, ...] = ()


class Recency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="recency"):
    """Halves every `half_life` units of `field` before `now` (a year with years, a timestamp with seconds)."""

    weight: float = 0.03
    field: str
    half_life: float
    now: float


class InStock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="stock"):
    """1 where `field` is above zero, 0 where it is not; unknown counts as in stock."""

    weight: float = 0.03
    field: str = "stock"


class Near(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="near"):
    """1 at `target`, falling to half at `width` away (Gaussian): a price the buyer has in mind."""

    weight: float = 0.03
    field: str
    target: float
    width: float


Rule: TypeAlias = "Popularity | Stated | Recency | InStock | Near"


class Scoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules for everyone, and rules of single tenants that replace them."""

    rules: tuple[Rule, ...] = (Stated(),)
    tenants: dict[str, tuple[Rule, ...]] = {}

    def of(self, tenant: str) -> tuple[Rule, ...]:
        """The rules of a tenant."""
        return self.tenants.get(tenant, self.rules)


def bonuses(
    rules: tuple[Rule, ...],
    numbers: Numbers,
    quantiles: Quantiles,
    *,
    question: str = "",
    matched: NDArray[np.float64] | float = 1.0,
    years: Callable[[], Sequence[str]] = tuple,
) -> dict[str, NDArray[np.float64]]:
    """What each rule adds to each candidate, by rule name; rules without data are left out.

    `matched`: how well each candidate's words match the question, 0 to 1. `years`: fields that hold years.
    """
    added: dict[str, NDArray[np.float64]] = {}
    for rule in rules:
        if isinstance(rule, Stated):
            values = _stated(rule, numbers, question, years)
        else:
            values = _values(rule, numbers, quantiles, matched)
        if values is not None:
            name = type(rule).__name__.lower()
            added[name] = added.get(name, 0.0) + rule.weight * values
    return added


def quantile(values: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the collection below each value; 0 where unknown."""
    place = (np.searchsorted(reference, values, "left") + np.searchsorted(reference, values, "right")) / 2
    return np.where(np.isnan(values), 0.0, place / max(1, len(reference)))


def year_fields(fields: Sequence[str], quantiles: Quantiles) -> tuple[str, ...]:
    """Those of the numeric `fields` of a collection that hold years alone."""
    return tuple(
        field
        for field in fields
        if len(known := quantiles(field)) and known[0] >= _FIRST_YEAR and known[-1] <= _LAST_YEAR
    )


def _stated(
    rule: Stated, numbers: Numbers, question: str, fields: Callable[[], Sequence[str]]
) -> NDArray[np.float64] | None:
    years = [float(year) for year in _YEAR.findall(question)]
    names = (rule.fields or fields()) if years else ()
    if not names:
        return None
    return np.asarray(np.any([np.isin(numbers(field), years) for field in names], axis=0), np.float64)


def _values(
    rule: Popularity | Recency | InStock | Near,
    numbers: Numbers,
    quantiles: Quantiles,
    matched: NDArray[np.float64] | float,
) -> NDArray[np.float64] | None:
    if isinstance(rule, Popularity):
        for field in rule.fields:
            reference = quantiles(field)
            if len(reference) and reference[0] < reference[-1]:
                return quantile(numbers(field), reference) * matched
        return None
    data = numbers(rule.field)
    if not len(data) or np.isnan(data).all():
        return None
    if isinstance(rule, Recency):
        age = np.maximum(rule.now - data, 0.0)
        return np.asarray(np.nan_to_num(np.exp(-math.log(2) * age / rule.half_life)), np.float64)
    if isinstance(rule, InStock):
        return np.where(np.isnan(data) | (data > 0), 1.0, 0.0)
    return np.asarray(np.nan_to_num(np.exp(-math.log(2) * ((data - rule.target) / rule.width) ** 2)), np.float64)
