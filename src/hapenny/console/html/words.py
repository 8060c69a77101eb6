"""Techniques in plain words: what each does, for people who never read a line of configuration."""

from __future__ import annotations

_WORDS = {
    "exact": "the same question again, answered from the cache",
    "semantic": "a question that means the same, answered from the cache",
    "edge": "answers published for a CDN",
    "precompute": "answers made ahead of the question",
    "results": "results of tools that were kept",
    "flights": "one call for questions that came at the same time",
    "templates": "answers from a template, without a model",
    "tiers": "a cheaper model where it does as well",
    "cascade": "a cheap model first, the dear one only where needed",
    "routing": "a cheaper model where it does as well",
    "prefix": "the provider's prompt cache, used and kept warm",
    "prune": "less context in the prompt, where it does not matter",
    "window": "old turns of a conversation left out or summed up",
    "prose": "instructions and examples that say each thing once",
    "lossless": "the same content in fewer tokens",
    "structure": "the same content in fewer tokens",
    "answer_size": "answers no longer than they need be",
    "retrieval": "documents found for the question, beside those that the application would send (baseline_passages)",
    "regions": "a cheaper region of the same model",
    "service_tier": "a cheaper service tier of the same model",
    "batch": "work that can wait, at batch prices",
    "provisioned": "capacity that is paid by the hour",
    "owned": "servers of one's own",
    "reserved": "capacity that is reserved",
    "hedging": "a second call where the first is late",
    "evidence": "audits and judges: what it costs to know the quality",
    "serve": "calls that delivered nothing",
    "retry": "calls made again",
    "escalate": "the dear model after the cheap one",
}


def words(technique: str) -> str:
    """What a technique is; empty where nobody wrote it down."""
    return _WORDS.get(technique, "")
