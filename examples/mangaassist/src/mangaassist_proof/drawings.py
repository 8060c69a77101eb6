"""Pictures of what was measured, each a whole SVG: where the money went, and the latency budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """<style>
text{font:13px system-ui,sans-serif;fill:#1d2430}.soft{fill:#5c6675}.limit{fill:#c3cad5}.ours{fill:#1a7f4b}
.over{fill:#b3261e}
@media(prefers-color-scheme:dark){text{fill:#e8ebf0}.soft{fill:#9aa5b4}.limit{fill:#566274}.ours{fill:#6fd6a0}
.over{fill:#ff8a80}}
</style>"""
_COLOURS = {
    "caching": "#3b7dd8", "templates": "#1a7f4b", "tiering": "#8a63c9", "compression": "#d98a1f",
    "batching": "#c2517a", "remaining": "#9aa5b4",
}  # fmt: skip
_PARTS = {
    "templates": "templates", "tiers": "tiering", "cascade": "tiering", "exact": "caching", "flights": "caching",
    "semantic": "caching", "prefix": "caching", "throughput": "batching", "batch": "batching",
}  # fmt: skip
"""Slice of the seed's pie by technique of the books; whatever else saves, shortens prompts or answers."""
_OUT, _IN = 110, 58


def slices(by_technique: Mapping[str, float], saved: float) -> dict[str, float]:
    """Shares of the bill with everything off, by slice of the seed's pie. What the books do not hold was saved before
    the gateway, by passages sized to the question: it is compression. A technique that costs more than it saves is 0,
    its cost stands in `remaining` anyway."""
    shares = dict.fromkeys(_COLOURS, 0.0)
    shares["compression"] = saved - sum(by_technique.values())
    for name, share in by_technique.items():
        shares[_PARTS.get(name, "compression")] += share
    shares["remaining"] = 1 - saved
    positive = {name: max(0.0, share) for name, share in shares.items()}
    whole = sum(positive.values())
    return {name: round(share / whole, 4) for name, share in positive.items()}


def pies(ours: Mapping[str, float], seed: Mapping[str, float]) -> str:
    """Two rings, one above the other so that a phone can show them: measured, and as the reference design claims."""
    parts = [_open(400, 520, f"Where the bill went. Measured: {_words(ours)}. Claimed: {_words(seed)}.")]
    for top, title, shares in ((0, "measured", ours), (260, "claimed", seed)):
        parts.append(f"<text x='120' y='{top + 140}' text-anchor='middle'>{escape(title)}</text>")
        parts += _ring(120, top + 135, shares)
        for place, (name, share) in enumerate(shares.items()):
            y = top + 80 + 26 * place
            parts.append(f"<rect x='244' y='{y - 11}' width='12' height='12' rx='3' fill='{_COLOURS[name]}'/>")
            parts.append(f"<text x='262' y='{y}'>{escape(name)} {share:.1%}</text>")
    return "".join([*parts, "</svg>"])


def _ring(x: float, y: float, shares: Mapping[str, float]) -> list[str]:
    paths, turned = [], 0.0
    for name, share in shares.items():
        if share <= 0:
            continue
        end = min(turned + share, turned + 0.99999)  # a whole circle is no arc
        corners = [
            (x + radius * math.sin(2 * math.pi * at), y - radius * math.cos(2 * math.pi * at))
            for radius, at in ((_OUT, turned), (_OUT, end), (_IN, end), (_IN, turned))
        ]
        far = int(share > 0.5)
        (a, b), (c, d), (e, f), (g, h) = corners
        paths.append(
            f"<path fill='{_COLOURS[name]}' d='M{a:.2f} {b:.2f}A{_OUT} {_OUT} 0 {far} 1 {c:.2f} {d:.2f}L{e:.2f} {f:.2f}"
            f"A{_IN} {_IN} 0 {far} 0 {g:.2f} {h:.2f}Z'/>"
        )
        turned += share
    return paths


def gantt(budget: Mapping[str, Any]) -> str:
    """Each step's limit one after the other, and inside it what was measured at the 95th percentile."""
    steps = budget["steps"]
    rows = [(name, row["limit_ms"], row["p95_ms"]) for name, row in steps.items()]
    scale = 200 / sum(limit for _, limit, _ in rows)
    words = ", ".join(f"{name.replace('_', ' ')} {p95:.1f} of {limit:g}" for name, limit, p95 in rows)
    parts = [_open(460, 26 * len(rows) + 10, f"Latency budget, milliseconds at the 95th percentile: {words}.")]
    start = 0.0
    for place, (name, limit, p95) in enumerate(rows):
        y, x = 26 * place + 6, 132 + start * scale
        kind = "ours" if p95 <= limit else "over"
        parts.append(f"<text x='0' y='{y + 13}'>{escape(name.replace('_', ' '))}</text>")
        parts.append(f"<rect class='limit' x='{x:.1f}' y='{y}' width='{limit * scale:.1f}' height='16' rx='3'/>")
        width = min(p95, limit * 1.5) * scale
        parts.append(f"<rect class='{kind}' x='{x:.1f}' y='{y + 4}' width='{width:.1f}' height='8' rx='2'/>")
        label = f"{p95:.1f} of {limit:g} ms"
        parts.append(f"<text x='{x + max(limit * scale, width) + 6:.1f}' y='{y + 13}'>{label}</text>")
        start += limit
    return "".join([*parts, "</svg>"])


def _open(width: int, height: int, label: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' "
        f"style='max-width:{width}px;height:auto' role='img' "
        f"aria-label='{escape(label, quote=True)}'>{_STYLE}"
    )


def _words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
