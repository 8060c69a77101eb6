"""Which extra of the distribution brings a module, and the pip line that installs it."""

from __future__ import annotations

import importlib.util

EXTRAS: dict[str, tuple[str, ...]] = {
    "local": ("onnxruntime", "tokenizers"),
    "retrieval": ("tantivy", "faiss", "usearch", "pypdf", "markdownify", "charset_normalizer"),
    "redis": ("redis",),
    "postgres": ("psycopg", "pgvector"),
    "content": ("cryptography",),
    "otel": ("opentelemetry.sdk",),
    "aws": ("boto3",),
    "tokenizers": ("bpe_openai",),
    "console": ("jinja2",),
    "jwt": ("jwt",),
    "lightgbm": ("lightgbm",),
    "parquet": ("pyarrow",),
}
"""What each extra brings, by its modules' names."""

_FOUND_WITH = {"bs4": "retrieval", "botocore": "aws", "opentelemetry": "otel"}
"""Modules that come with what an extra names."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [name for name in EXTRAS[extra] if not _there(name)]


def pip_line(module: str) -> str:
    """How to install what has a module; "" if no extra has it."""
    top = module.partition(".")[0]
    extra = _FOUND_WITH.get(top) or next(
        (extra for extra, modules in EXTRAS.items() if top in {each.partition(".")[0] for each in modules}), ""
    )
    return f"pip install 'hapenny[{extra}]'" if extra else ""


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
