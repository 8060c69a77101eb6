"""`hapenny cache lint`: managed prompts are read, counted, priced and given cache points that AWS's own model takes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import botocore.session
import pytest
from botocore.validate import ParamValidator
from click.testing import CliRunner

from hapenny.cli import main

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
LONG = "The shop sells maps of bridges, and every map names the toll that was paid there. " * 200
TOOLS = {"tools": [{"toolSpec": {"name": "stock", "inputSchema": {"json": {"type": "object"}}}}]}


def chat(**fields):
    return {"name": "one", "templateType": "CHAT", "modelId": SONNET, "templateConfiguration": {"chat": fields}}


def prompt(*variants):
    return {
        "name": "helper",
        "id": "ABCDEFGHIJ",
        "version": "DRAFT",
        "variants": list(variants),
        "defaultVariant": "one",
    }


USER = [{"role": "user", "content": [{"text": "{{question}}"}]}]


def run(tmp_path, given, *more):
    (tmp_path / "prompt.json").write_text(json.dumps(given))
    wanted = ["cache", "lint", "--file", str(tmp_path / "prompt.json"), "--write", str(tmp_path / "out.json"), "--json"]
    done = CliRunner().invoke(main.main, [*wanted, *more])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out.json").read_text())
    agent = botocore.session.get_session().get_service_model("bedrock-agent")
    for name, body in written.items():
        report = ParamValidator().validate(body, agent.operation_model(name).input_shape)
        assert not report.has_errors(), report.generate_report()
    return json.loads(done.output), written["UpdatePrompt"]["variants"][0]["templateConfiguration"]


@pytest.mark.parametrize(
    ("fields", "where", "system"),
    [
        ({"system": [{"text": LONG}], "messages": USER}, "system.0",
         [{"text": LONG}, {"cachePoint": {"type": "default"}}]),
        ({"system": [{"text": LONG + "Today is {{day}}."}], "messages": USER}, "system.0",
         [{"text": LONG + "Today is "}, {"cachePoint": {"type": "default"}}, {"text": "{{day}}."}]),
        ({"system": [{"text": LONG}, {"text": "For {{name}}: "}], "messages": USER, "toolConfiguration": TOOLS},
         "system.1", [{"text": LONG}, {"text": "For "}, {"cachePoint": {"type": "default"}}, {"text": "{{name}}: "}]),
    ],
)  # fmt: skip
def test_a_point_stands_behind_what_never_changes(tmp_path, fields, where, system):
    (told,), template = run(tmp_path, prompt(chat(**fields)))
    assert told["proposal"] == where
    assert template["chat"]["system"] == system
    assert told["static_tokens"] > told["cache_min"]
    assert 0 < told["usd_1000_calls_cached"] < told["usd_1000_calls"]


@pytest.mark.parametrize(
    ("variant", "why"),
    [
        (chat(system=[{"text": "Be brief."}], messages=USER), "caches from"),
        (chat(system=[{"text": LONG}, {"cachePoint": {"type": "default"}}], messages=USER), "already"),
        ({**chat(system=[{"text": LONG}], messages=USER), "modelId": "amazon.titan-text-express-v1"}, "takes no cache"),
        ({**chat(), "templateType": "TEXT",
          "templateConfiguration": {"text": {"text": LONG + "{{question}}", "inputVariables": [{"name": "question"}]}}},
         "chat template"),
    ],
)  # fmt: skip
def test_where_none_pays_it_says_why_and_changes_nothing(tmp_path, variant, why):
    (told,), template = run(tmp_path, prompt(variant))
    assert told["proposal"] is None
    assert why in told["why"]
    assert template == variant["templateConfiguration"]


def test_what_breaks_the_prefix_is_found(tmp_path):
    (told,), _ = run(tmp_path, prompt(chat(system=[{"text": "It is 2026-11-30 12:00. " + LONG}], messages=USER)))
    assert [finding["rule"] for finding in told["findings"]] == ["timestamp"]


def test_a_prompt_is_read_by_its_arn(tmp_path, monkeypatch):
    seen = []

    class Agent(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Authorization"]))
            body = json.dumps(prompt(chat(system=[{"text": LONG}], messages=USER))).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.handle_request, daemon=True).start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOURS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENT", f"http://127.0.0.1:{server.server_port}")
    arn = "arn:aws:bedrock:eu-west-1:123456789012:prompt/ABCDEFGHIJ"
    done = CliRunner().invoke(main.main, ["cache", "lint", "--prompt", arn, "--version", "3"])
    server.server_close()
    assert done.exit_code == 0, done.output
    assert "a cache point behind system.0" in done.output
    assert (
        seen[0][0] == "/prompts/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aprompt%2FABCDEFGHIJ/?promptVersion=3"
    )
    assert "/eu-west-1/bedrock/aws4_request" in seen[0][1]


def test_what_is_no_prompt_is_told(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    done = CliRunner().invoke(main.main, ["cache", "lint", "--file", str(tmp_path / "x.json")])
    assert done.exit_code != 0
    assert "variants" in done.output
