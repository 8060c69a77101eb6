"""What an operator may set about throughput."""

from __future__ import annotations

from msgspec import Struct


class RetryOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Bounded retry inside one deadline (seeds: base 100 ms, factor 2, jitter +-100 ms, 3 to 5 tries)."""

    tries: int = 3
    base_s: float = 0.1
    factor: float = 2.0
    jitter_s: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.tries <= 5:
            raise ValueError(f"tries is {self.tries}; allowed are 1 to 5")
        if self.base_s <= 0 or self.factor < 1 or self.jitter_s < 0:
            raise ValueError("base_s must be above 0, factor at least 1, jitter_s not negative")
