"""The playground: ask the running gateway something, and see what answered, what it cost and why."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Empty, Viewer
from hapenny.console.live import ASK_S, Unreachable
from hapenny.console.place import Place

SHOWN = (
    "x-hapenny-route", "x-hapenny-model", "x-hapenny-cost", "x-hapenny-saved", "cache-status", "x-hapenny-notes",
    "x-hapenny-certificate", "server-timing",
)  # fmt: skip


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """The form."""
    models, why = [], ""
    try:
        told = desk.live.get("/v1/models")
        models = [str(each.get("id", "")) for each in told.get("data", [])] if isinstance(told, dict) else []
    except Unreachable as error:
        why = str(error)
    return {"models": models, "why": why, "asked": {}, "answer": None, "told": {}, "id": "", "error": ""}


def act(desk: Desk, form: dict[str, str], viewer: Viewer) -> dict[str, Any]:
    """Asks; gives what the page shows. Raises `Empty` where nothing can be asked."""
    question = form.get("question", "").strip()
    if not question:
        raise Empty("Nothing was asked", "Write a question.")
    messages = [{"role": "user", "content": question}]
    if system := form.get("system", "").strip():
        messages.insert(0, {"role": "system", "content": system})
    body: dict[str, Any] = {"model": form.get("model") or "auto", "messages": messages, "temperature": 0}
    if form.get("max_tokens", "").isdecimal():
        body["max_tokens"] = int(form["max_tokens"])
    try:
        told, headers = desk.live.call("POST", "/v1/chat/completions", body, ASK_S)
    except Unreachable as error:
        return {"asked": form, "answer": None, "told": {}, "id": "", "error": str(error)}
    headers = {name.lower(): value for name, value in headers.items()}
    choice = (told.get("choices") or [{}])[0] if isinstance(told, dict) else {}
    return {
        "asked": form,
        "answer": str((choice.get("message") or {}).get("content") or ""),
        "told": {name: headers[name] for name in SHOWN if headers.get(name)},
        "id": headers.get("x-request-id", ""),
        "error": "",
    }
