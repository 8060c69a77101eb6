"""Model ids as people say them."""

from __future__ import annotations

import re

_VENDOR = re.compile(r"^(?:[a-z]{2,6}(?:-gov)?\.)?(?:anthropic|amazon|openai|meta|mistral|cohere)\.")
_EDITION = re.compile(r"(?:-\d{8})?(?:-v\d+)?(?::\d+)?$")


def spoken(model: str) -> str:
    """A model id as people say it: without vendor, date and revision."""
    return _EDITION.sub("", _VENDOR.sub("", model)) or model
