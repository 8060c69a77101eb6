"""`GET /metrics`: for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from hapenny.core.log import get_logger
from hapenny.server.call import Call
from hapenny.server.transport.messages import Response

_log = get_logger("hapenny.server")


async def render(call: Call) -> Response:
    """All metrics, as text; where several workers share the port those of all of them, each with its `worker`."""
    page = call.gateway.recorder.metrics.render()
    siblings = call.services.siblings
    if siblings is not None:
        pages, alive, restarts = [(siblings.number, page)], 1, 0
        try:
            known = await siblings.pages()
            pages += [(int(number), bytes(other)) for number, other in known["pages"]]
            alive, restarts = known["alive"], known["restarts"]
        except (ConnectionError, TimeoutError) as error:
            _log.warning("the metrics of the other workers cannot be had", error=error)
        page = merged(sorted(pages)) + (
            b"# HELP hapenny_workers Workers that serve.\n# TYPE hapenny_workers gauge\nhapenny_workers %d\n"
            b"# HELP hapenny_worker_restarts_total Workers that were started again.\n"
            b"# TYPE hapenny_worker_restarts_total counter\nhapenny_worker_restarts_total %d\n" % (alive, restarts)
        )
    return Response(page, headers={"content-type": "text/plain; version=0.0.4"})


def merged(pages: Iterable[tuple[int, bytes]]) -> bytes:
    """The pages of several workers as one: each family once, each series with its worker's number."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, page in pages:
        mark, family = f'worker="{number}"', ""
        for line in page.decode().splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                head, _ = families.setdefault(family, ([], []))
                kind = line[:6]
                if not any(each.startswith(kind) for each in head):
                    head.append(line)
            elif line:
                name, brace, rest = line.partition("{")
                if brace and " " not in name:
                    shown = f"{name}{{{mark},{rest}"
                else:
                    name, _, value = line.partition(" ")
                    shown = f"{name}{{{mark}}} {value}"
                families.setdefault(family, ([], []))[1].append(shown)
    lines = [line for head, samples in families.values() for line in (*head, *samples)]
    return "\n".join(lines).encode() + b"\n"
