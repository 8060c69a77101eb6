"""Parameters, stop sequences, users and cache points as they reach a service."""

from __future__ import annotations

import json

import pytest

from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, Stopped, TextDelta
from hapenny.core.messages import Message, Parameters, Text, Thinks, Tool, ToolResult, ToolUse
from hapenny.protocols.rules import fit
from tests.protocols.rules.sending import NOVA, OPUS, SONNET, sent, user
from tests.protocols.samples import ask

NOVA_2 = "amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"


@pytest.mark.parametrize(
    ("service", "model", "protocol", "stop", "told"),
    [
        ("converse", SONNET, "openai", ("\n", "END"), ["END"]),
        ("anthropic", "claude-sonnet-4-5", "openai", ("\n\n",), None),
        ("converse", NOVA, "openai", tuple("abcdef"), list("abcd")),
        ("openai", "gpt-4.1", "anthropic", tuple("abcdef"), list("abcd")),
        ("openai", "o3", "anthropic", ("a",), None),
        ("converse", NOVA, "bedrock", tuple("abcdef"), list("abcd")),
    ],
)
def test_stop_sequences_that_are_not_taken_are_watched_for_here(service, model, protocol, stop, told):
    parameters = Parameters(stop=stop, max_tokens=50)
    body, notes = sent(service, model, protocol, parameters=parameters)
    found = (body.get("inferenceConfig") or {}).get("stopSequences") or body.get("stop_sequences") or body.get("stop")
    assert found == told
    assert "watched for by the gateway" in notes
    undo = fit(ask(protocol, parameters=parameters), service, model, resolve(model)).undo
    last = stop[-1] if told != ["END"] else "\n"
    batch = [BlockStarted(0, "text"), TextDelta(f"x{last}y"), Stopped("end_turn")]
    out = undo.flow(batch)
    assert [event.text for event in out if isinstance(event, TextDelta)] == ["x"]
    assert out[-1].reason == "stop_sequence"


def test_what_a_model_refuses_is_never_sent_whatever_the_stages_do():
    asked = Parameters(temperature=0.3, top_p=0.9, seed=7, presence_penalty=0.5, max_tokens=10**9)
    body, notes = sent("converse", SONNET, parameters=asked)
    config = body["inferenceConfig"]
    assert not config.keys() >= {"temperature", "topP"}
    assert config["maxTokens"] < 10**9
    for name in ("seed", "presence_penalty", "max_tokens"):
        assert f"{name}=" in notes


def test_several_answers_at_once_are_refused_where_the_model_gives_one():
    with pytest.raises(Failure) as caught:
        sent("converse", SONNET, parameters=Parameters(n=2))
    assert (caught.value.kind, caught.value.field) == ("invalid_request", "n")
    assert sent("openai", "gpt-4.1", "openai", parameters=Parameters(n=2))[0]["n"] == 2


@pytest.mark.parametrize(
    ("service", "model", "effort", "want"),
    [
        ("converse", SONNET, "high", {"type": "enabled", "budget_tokens": 16_384}),
        ("anthropic", "claude-sonnet-4-5", "low", {"type": "enabled", "budget_tokens": 2_048}),
        ("converse", OPUS, "high", {"type": "adaptive"}),
        ("converse", SONNET, "none", None),
    ],
)
def test_an_effort_of_openais_clients_is_a_wish_to_think(service, model, effort, want):
    body, notes = sent(service, model, parameters=Parameters(effort=effort))
    assert (body.get("additionalModelRequestFields") or body).get("thinking") == want
    assert "effort" in notes
    if want is not None and "budget_tokens" in want:
        most = body["max_tokens"] if service == "anthropic" else body["inferenceConfig"]["maxTokens"]
        assert most > want["budget_tokens"]


def test_thinking_of_anthropics_clients_is_an_effort_for_openai():
    for thinks, effort in ((Thinks("enabled", 10_000), "medium"), (Thinks("disabled"), "none")):
        parameters = Parameters(thinking=thinks, max_tokens=20_000)
        body, notes = sent("openai", "gpt-5.2", "anthropic", parameters=parameters)
        assert body["reasoning_effort"] == effort
        assert "effort" in notes


def test_nova_at_its_highest_effort_takes_no_limits():
    body, notes = sent("converse", NOVA_2, parameters=Parameters(effort="high", max_tokens=500, temperature=0.3))
    assert body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "high"
    assert not body.get("inferenceConfig", {}).keys() & {"maxTokens", "temperature", "topP"}
    assert "beside the highest effort" in notes


def test_a_request_for_no_tokens_warms_anthropics_cache_and_asks_bedrock_for_one():
    assert (
        sent("anthropic", "claude-sonnet-4-5", "anthropic", parameters=Parameters(max_tokens=0))[0]["max_tokens"] == 0
    )
    for service in ("converse", "invoke"):
        body, notes = sent(service, SONNET, "anthropic", parameters=Parameters(max_tokens=0))
        assert (body.get("inferenceConfig") or {}).get("maxTokens", body.get("max_tokens")) == 1
        assert "sent as 1" in notes


def test_long_ids_of_users_are_hashed_and_stay_the_same_user():
    long = "user_" + "a" * 300
    first, notes = sent("openai", "gpt-4.1", "anthropic", user=long)
    again, _ = sent("openai", "gpt-4.1", "anthropic", user=long)
    other, _ = sent("openai", "gpt-4.1", "anthropic", user=long + "b")
    assert first["user"] == again["user"] != other["user"]
    assert len(first["user"]) <= 64
    assert long not in json.dumps(first)
    assert "user=hashed" in notes
    body, _ = sent("anthropic", "claude-sonnet-4-5", user=long)
    assert len(body["metadata"]["user_id"]) <= 256
    body, notes = sent("anthropic", "claude-sonnet-4-5", user="u" * 200)
    assert body["metadata"]["user_id"] == "u" * 200
    assert notes == ""


# -- cache points -----------------------------------------------------------------------------------------------------


def marked(*lives, tools=(), system=()):
    return {
        "messages": (Message("user", tuple(Text(f"t{n}", ttl) for n, ttl in enumerate(lives))),),
        "tools": tuple(Tool(f"f{n}", "d", {"type": "object"}, checkpoint=ttl) for n, ttl in enumerate(tools)),
        "system": tuple(Text(f"s{n}", ttl) for n, ttl in enumerate(system)),
    }


def points(body):
    """Lifetimes by part of a Converse body."""
    parts = {
        "tools": (body.get("toolConfig") or {}).get("tools") or [],
        "system": body.get("system") or [],
        "messages": [block for turn in body["messages"] for block in turn["content"]],
    }
    return {
        name: [block["cachePoint"].get("ttl", "5m") for block in blocks if "cachePoint" in block]
        for name, blocks in parts.items()
    }


def test_a_model_without_a_prompt_cache_gets_no_points():
    body, notes = sent("converse", LLAMA, "anthropic", **marked("5m", tools=("5m",), system=("5m",)))
    assert "cachePoint" not in json.dumps(body)
    assert "cache_points=3 not sent" in notes


def test_nova_gets_none_among_its_tools_and_none_for_an_hour():
    body, notes = sent("converse", NOVA, "anthropic", **marked("1h", tools=("5m",), system=("5m",)))
    assert points(body) == {"tools": [], "system": ["5m"], "messages": ["5m"]}
    assert "none among the tools" in notes
    assert "1h sent as 5m" in notes


def test_nova_gets_a_point_behind_text_alone():
    talk = (user("x"), Message("assistant", (ToolUse("c1", "f"),)), Message("user", (ToolResult("c1", (Text("3"),)),)))
    tools = (Tool("f", "d", {"type": "object", "properties": {}}),)
    body, notes = sent("converse", NOVA, "anthropic", messages=talk, tools=tools, checkpoint="5m")
    assert "cachePoint" not in json.dumps(body)
    assert "behind" in notes
    body, notes = sent("converse", NOVA, "anthropic", messages=(user("x"),), checkpoint="5m")
    assert "cachePoint" in body["messages"][0]["content"][-1]
    assert notes == ""


def test_of_many_points_the_last_of_each_part_stay():
    body, notes = sent("converse", SONNET, "anthropic", **marked("5m", "5m", "5m", tools=("5m", "5m"), system=("5m",)))
    found = points(body)
    assert {part: len(lives) for part, lives in found.items()} == {"tools": 1, "system": 1, "messages": 2}
    assert "cache_points=2 not sent" in notes
    assert "cachePoint" in body["toolConfig"]["tools"][-1]
    assert "cachePoint" in body["messages"][0]["content"][-1]


def test_longer_lifetimes_come_first():
    body, notes = sent("converse", SONNET, "anthropic", **marked("1h", system=("5m",)))
    assert points(body) == {"tools": [], "system": ["5m"], "messages": ["5m"]}
    assert "behind a shorter one" in notes
    body, notes = sent("converse", SONNET, "anthropic", **marked("5m", system=("1h",)))
    assert points(body)["system"] == ["1h"]
    assert notes == ""


def test_openai_is_told_nothing_of_points():
    body, notes = sent("openai", "gpt-4.1", "anthropic", **marked("5m"))
    assert "cache" not in json.dumps(body)
    assert "cache_control" in notes


def test_points_inside_results_count():
    inner = ToolResult("c1", (Text("a", "5m"), Text("b", "5m")), checkpoint="5m")
    talk = (user("x"), Message("assistant", (ToolUse("c1", "f"),)), Message("user", (inner, Text("c", "5m"))))
    fields = {"messages": talk, "system": (Text("s", "5m"),), "parameters": Parameters(max_tokens=9)}
    body, _ = sent("anthropic", "claude-sonnet-4-5", "anthropic", **fields)
    assert json.dumps(body).count("cache_control") == 5  # the client's own dialect: its own affair
    body, _ = sent("invoke", SONNET, "anthropic", **fields)
    assert json.dumps(body).count("cache_control") <= 4


@pytest.mark.parametrize("model", [NOVA, LLAMA, "us.deepseek.r9-v1:0"])
def test_models_that_know_no_thinking_are_not_told_to_leave_it(model):
    body, notes = sent("converse", model, "anthropic", parameters=Parameters(thinking=Thinks("disabled"), max_tokens=9))
    assert "additionalModelRequestFields" not in body
    assert "thinking=disabled left out" in notes


@pytest.mark.parametrize(("model", "kept"), [(SONNET, False), (NOVA, True), ("openai.gpt-5.5", False)])
def test_a_service_tier_at_which_a_model_is_not_sold_is_left_out(model, kept):
    body, notes = sent("converse", model, parameters=Parameters(service_tier="flex"))
    assert ("serviceTier" in body) is kept
    assert ("not sold at it" in notes) is not kept
