"""docs/endpoints.md, made from the routing table: `python -m hapenny.server.endpoint_manual > docs/endpoints.md`."""

from __future__ import annotations

import sys

from hapenny.server.routes import ROUTES


def markdown() -> str:
    """The endpoints as a page."""
    lines = [
        "# Endpoints",
        "",
        "Earlier lines win. `caller` needs a key where keys are configured, `metrics` a key of that scope or an",
        "address of `server.metrics_from`, `anyone` none. `/openai/v1` and `/anthropic/v1` stand for `/v1` in that",
        "dialect. This page is made from the program itself.",
        "",
        "| method | path | who | |",
        "| --- | --- | --- | --- |",
    ]
    for route in ROUTES:
        lines.append(f"| {', '.join(route.methods)} | `{route.path}` | {route.who} | {route.about} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
