"""An agent for Amazon Bedrock AgentCore Runtime whose models are asked through hapenny.

The container's contract is AgentCore's: `POST /invocations` and `GET /ping` on port 8080. The agent keeps its long
instructions at the head of every step, so that hapenny marks them for the provider's prompt cache: from the second step
on they are read from there. What each step cost and saved hapenny says in its answer's headers, and the agent adds up.

    HAPENNY_URL=http://hapenny:8790 HAPENNY_KEY=… python agent.py
"""

from __future__ import annotations

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STEPS = 20
INSTRUCTIONS = "\n".join(
    ["You plan journeys step by step. Name one step at a time; end with a line that says DONE when nothing is left."]
    + [f"Rule {number}: keep to the timetable, name the platform, and never book twice." for number in range(1, 120)]
)


def step(messages: list[dict[str, str]]) -> tuple[str, float, float]:
    """One step: what the model says, what it cost and what was saved, in dollars."""
    request = urllib.request.Request(
        f"{os.environ['HAPENNY_URL'].rstrip('/')}/v1/chat/completions",
        data=json.dumps({"model": os.environ.get("HAPENNY_MODEL", "strong"), "messages": messages}).encode(),
        headers={
            "content-type": "application/json",
            "authorization": f"Bearer {os.environ.get('HAPENNY_KEY', '')}",
            "x-hapenny-feature": "agent",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        said = json.load(answer)["choices"][0]["message"]["content"] or ""
        return said, float(answer.headers["x-hapenny-cost"]), float(answer.headers["x-hapenny-saved"])


def run(task: str, steps: int = STEPS) -> dict[str, Any]:
    """Works on a task for so many steps at most."""
    messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": task}]
    cost = saved = 0.0
    done: list[str] = []
    for _ in range(steps):
        said, paid, spared = step(messages)
        cost, saved = cost + paid, saved + spared
        done.append(said)
        if said.rstrip().splitlines()[-1:] == ["DONE"]:
            break
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": "Go on with the next step."}]
    return {"steps": len(done), "answer": done[-1], "cost_usd": round(cost, 9), "saved_usd": round(saved, 9)}


class Handler(BaseHTTPRequestHandler):
    """AgentCore's two endpoints."""

    def do_GET(self) -> None:
        self._reply(200 if self.path == "/ping" else 404, {"status": "Healthy"})

    def do_POST(self) -> None:
        if self.path != "/invocations":
            self._reply(404, {"error": "not found"})
            return
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
            self._reply(200, run(str(body["prompt"])))
        except (KeyError, ValueError):
            self._reply(400, {"error": 'the body is {"prompt": "…"}'})
        except OSError as error:
            self._reply(502, {"error": f"the gateway does not answer: {type(error).__name__}"})

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: prompts stay out of logs."""

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
