"""What the services refuse beyond their schemas: one dated table, each rule with its source.

The composing side (`fit`) and the simulated provider (`broken`) both read it.
"""

from __future__ import annotations

from typing import Final

from hapenny.protocols.rules.about_content import CONTENT
from hapenny.protocols.rules.about_turns import TURNS
from hapenny.protocols.rules.rule import Breach, Rule

CONVERSE: Final = "converse"
INVOKE: Final = "invoke"
OPENAI: Final = "openai"
RULES: dict[str, Rule] = {one.name: one for one in (*TURNS, *CONTENT)}
"""Every rule by name."""

__all__ = ["CONVERSE", "INVOKE", "OPENAI", "RULES", "Breach", "Rule"]
