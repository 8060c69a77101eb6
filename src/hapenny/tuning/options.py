"""What an operator may set about parameters."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class ParameterOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What happens to a parameter the model refuses."""

    refused: Literal["translate", "reject"] = "translate"
    """`translate` drops or translates it and says so in the answer's headers; `reject` answers 400."""
