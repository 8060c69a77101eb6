"""What providers charge beside tokens: web searches, guardrail units, files searched.

A card's own fees go first; those of a service hold for all its models. A unit that stands nowhere has no known price:
a call that used it is unpriced, never priced without it.
"""

from __future__ import annotations

from hapenny.catalog.card import Card, Rates, Source

READ = "2026-11-30"
GUARDRAILS = Source(
    READ,
    "Amazon Bedrock Guardrails, per text unit of up to 1,000 characters (pictures: per image), us-east-1, as in "
    "LiteLLM 1.110.2's price file and the AWS Price List; word filters and regular expressions are free",
)
WEB_FETCH = Source(READ, "https://platform.claude.com/docs/en/about-claude/pricing: web fetch costs its tokens alone")
WEB_SEARCH = Source(
    READ, "https://platform.claude.com/docs/en/about-claude/pricing: web search, 10 $ a thousand, whatever the model"
)
OPENAI_TOOLS = Source(
    READ, "https://developers.openai.com/api/docs/pricing, built-in tools, as in genai-prices 0.2.3 and LiteLLM 1.109.1"
)

SERVICE: dict[str, dict[str, tuple[int, Source]]] = {
    "bedrock": {
        "guardrail_content": (150_000_000, GUARDRAILS),
        "guardrail_topic": (150_000_000, GUARDRAILS),
        "guardrail_pii": (100_000_000, GUARDRAILS),
        "guardrail_pii_free": (0, GUARDRAILS),
        "guardrail_grounding": (100_000_000, GUARDRAILS),
        "guardrail_reasoning": (170_000_000, GUARDRAILS),
        "guardrail_image": (750_000_000, GUARDRAILS),
        "guardrail_word": (0, GUARDRAILS),
        "web_fetch": (0, WEB_FETCH),
    },
    "anthropic": {"web_fetch": (0, WEB_FETCH), "web_search": (10_000_000_000, WEB_SEARCH)},
    "openai": {"file_search": (2_500_000_000, OPENAI_TOOLS)},
}
"""Pico-dollars for one unit, by provider. Not there, so unpriced where used: sandboxes for code (Anthropic's hours
beyond the free ones and OpenAI's sessions are not in any answer)."""

GUARDRAIL = Card(
    id="amazon.bedrock-guardrails",
    provider="bedrock",
    family="guardrail",
    kind="guardrail",
    prices={"in_region": {"standard": Rates(input=0, output=0, source="list")}},
    source="fees of the service, by text unit",
)
"""What calls of a guardrail alone are priced by: it has no tokens, only units."""


def fee(card: Card, unit: str) -> int | None:
    """Pico-dollars for one `unit` of a call to `card`'s model; None: unknown."""
    rate = card.fees.get(unit)
    if rate is None:
        listed = SERVICE.get(card.provider, {}).get(unit)
        rate = listed[0] if listed is not None else None
    return rate
