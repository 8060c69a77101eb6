"""The named safety cases end to end: through HTTP, in three protocols, by unmodified clients, against a gateway whose
semantic cache is open and serving."""

import asyncio
import itertools
import json
import threading
import urllib.request

import pytest

from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, BlockStopped, SignatureDelta, Started, Stopped, TextDelta, ThinkingDelta
from hapenny.server.app import App
from tests.caching.clients import PROTOCOLS, Clients
from tests.caching.test_safety_cases import CALL, CONFIG, DIFFERENT, OPENING, USAGE, WHOLE, House, opened

KEYS = """
keys:
  - {key: key-of-tenant-a, tenant: a, sigv4_access_key: AKIAa}
  - {key: key-of-tenant-b, tenant: b, sigv4_access_key: AKIAb}
"""
NEW = itertools.count(1)


class Bridge(Clients):
    """A served house in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.house, self.app = self.do(self._start())
        super().__init__(f"http://127.0.0.1:{self.port}")

    async def _start(self):
        house = await opened(House(CONFIG + KEYS, max_tokens=200))
        app = App(house.gateway)
        self.port = await app.start(port=0)
        return house, app

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self):
        self.app.gateway.config.server.drain_s = 2.0
        self.do(self.app.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def hit(self, protocol, text, **how):
        """(text, layer of the hit or "")"""
        said, headers, _ = self.ask(protocol, text, **how)
        status = headers["cache-status"]
        layer = status.partition("detail=")[2].strip('"').partition("/")[0] if "; hit" in status else ""
        return said, layer

    def served(self, protocol, **how):
        """Headers of a paraphrase that is served (an audit of a would-be hit may be in between); None if none is."""
        for _ in range(20):
            _, headers, _ = self.ask(protocol, OPENING + " " * next(NEW), **how)
            if "; hit" in headers["cache-status"] and "semantic" in headers["cache-status"]:
                return headers
        return None

    def call(self, path, key="key-of-tenant-a", body=None):
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, {"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def bridge():
    bridge = Bridge()
    yield bridge
    bridge.close()


def alone(question):
    """Headers of a user who never asked anything else: no paraphrase is near."""
    return {"x-hapenny-user": question}


pytestmark = pytest.mark.parametrize("protocol", PROTOCOLS)


def test_a_paraphrase_is_served_with_its_score_error_and_age(bridge, protocol):
    headers = bridge.served(protocol)
    assert headers is not None
    assert "similarity=" in headers["cache-status"]
    assert "error=0." in headers["cache-status"]
    assert int(headers["age"]) >= 0
    assert headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_question_gets_another_answer(bridge, protocol, case):
    stored, asked = DIFFERENT[case]
    answers = bridge.house.shop.answers
    answers[stored], answers[asked] = f"first of {case}", f"second of {case}"
    for stream in (False, True):
        bridge.ask(protocol, stored, stream=stream)
        assert bridge.ask(protocol, asked, stream=stream)[0] == f"second of {case}"


HISTORY = (("user", "cancel my order?"), ("assistant", "are you sure?"))
ELSEWHERE = {
    "other tenant": {"key": "key-of-tenant-b"},
    "other user": {"headers": {"x-hapenny-user": "somebody"}},
    "other model": {"model": "strong"},
    "other system prompt": {"system": "you are a pirate"},
    "other tool set": {"tool": "search"},
    "other locale": {"headers": {"x-hapenny-locale": "de"}},
    "follow-up": {"history": HISTORY},
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_nothing_is_shared_across(bridge, protocol, case):
    assert bridge.served(protocol)
    assert bridge.hit(protocol, OPENING + "?" * next(NEW), **ELSEWHERE[case])[1] == ""


@pytest.mark.parametrize("follow_up", ["yes", "and in blue?"])
def test_a_follow_up_means_what_was_said_before(bridge, protocol, follow_up):
    shoes = (("user", f"do you sell shoes {protocol}"), ("assistant", "yes, shall I show some?"))
    order = (("user", f"cancel my order {protocol}?"), ("assistant", "are you sure?"))
    bridge.ask(protocol, follow_up, history=shoes)
    assert bridge.hit(protocol, follow_up, history=shoes)[1] == "exact"
    assert bridge.hit(protocol, follow_up, history=order)[1] == ""


NEVER = {
    "tool-call answer": [*CALL, Stopped("tool_use"), USAGE],
    "cut stream": WHOLE,
    "cut at the limit": [*WHOLE, Stopped("max_tokens"), USAGE],
    "refusal": [*WHOLE, Stopped("refusal"), USAGE],
    "no usage": [*WHOLE, Stopped("end_turn")],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", NEVER)
def test_never_stored(bridge, protocol, case, stream):
    question, shop = f"never stored: {case} {protocol} {stream}", bridge.house.shop
    how = {"stream": stream, "tool": "search" if "tool" in case else None, "headers": alone(question)}
    shop.events = NEVER[case]
    try:
        bridge.ask(protocol, question, **how)
    except Exception:
        pass  # each client has its own words for a stream that was cut
    finally:
        shop.events = None
    assert bridge.hit(protocol, question, **how) == (f"the answer to {question}", "")


@pytest.mark.parametrize("kind", ["invalid_request", "rate_limited", "upstream", "model_error"])
def test_errors_are_never_stored(bridge, protocol, kind):
    question, shop = f"an errored question {kind} {protocol}", bridge.house.shop
    shop.failure = Failure(kind, "constructed", retryable=False)
    try:
        with pytest.raises(Exception, match="constructed"):
            bridge.ask(protocol, question, headers=alone(question))
    finally:
        shop.failure = None
    assert bridge.hit(protocol, question, headers=alone(question))[1] == ""
    assert bridge.hit(protocol, question, headers=alone(question))[1] == "exact"


def test_stream_and_non_stream_mixed(bridge, protocol):
    for first in (True, False):
        question = f"streamed {first} {protocol}"
        how = {"headers": alone(question)}
        said, _, _ = bridge.ask(protocol, question, stream=first, **how)
        assert [bridge.hit(protocol, question, stream=each, **how) for each in (False, True)] == [(said, "exact")] * 2


THOUGHT = [
    Started("id", "m"), BlockStarted(0, "thinking"), ThinkingDelta("hm", 0), SignatureDelta("c2lnbmVk", 0),
    BlockStopped(0), BlockStarted(1, "text"), TextDelta("thought through", 1), BlockStopped(1), Stopped("end_turn"),
    USAGE,
]  # fmt: skip


def reasoning(protocol, made):
    if protocol == "anthropic":
        return [(block.thinking, block.signature) for block in made.content if block.type == "thinking"]
    if protocol == "bedrock":
        content = made["output"]["message"]["content"]
        return [block["reasoningContent"]["reasoningText"] for block in content if "reasoningContent" in block]
    return getattr(made.choices[0].message, "reasoning_content", None)


def test_reasoning_on_replay(bridge, protocol):
    question = f"think about it {protocol}"
    bridge.house.shop.events = THOUGHT
    try:
        first = bridge.ask(protocol, question, headers=alone(question))
    finally:
        bridge.house.shop.events = None
    second = bridge.ask(protocol, question, headers=alone(question))
    assert "; hit" in second[1]["cache-status"]
    assert second[0] == first[0] == "thought through"
    assert reasoning(protocol, second[2]) == reasoning(protocol, first[2])


def test_stale_price(bridge, protocol):
    question, tag = f"what does volume three cost {protocol}", f"price:{protocol}"
    how = {"headers": {"x-hapenny-tags": tag.replace(":", "="), **alone(question)}}
    answers = bridge.house.shop.answers
    answers[question] = "it costs ten euros"
    bridge.ask(protocol, question, **how)
    answers[question] = "it costs twelve euros"
    invalidate = "/v1/cache/invalidate"
    assert bridge.call(invalidate, body={"tag": tag, "dry_run": True})["exact"]["entries"] == 1
    assert bridge.call(invalidate, "key-of-tenant-b", {"tag": tag})["exact"]["entries"] == 0
    assert bridge.hit(protocol, question, **how) == ("it costs ten euros", "exact")
    assert bridge.call(invalidate, body={"tag": tag})["exact"]["entries"] == 1
    assert bridge.hit(protocol, question, **how) == ("it costs twelve euros", "")


def test_a_poisoned_entry_is_removed(bridge, protocol):
    """By the key that the answer showed, in whatever layer it was found."""
    question = f"who founded the shop {protocol}"
    bridge.house.shop.answers[question] = "an impostor"
    bridge.ask(protocol, question, headers=alone(question))
    key = (
        bridge.ask(protocol, question, headers=alone(question))[1]["cache-status"]
        .partition('key="')[2]
        .partition('"')[0]
    )
    assert [entry["layer"] for entry in bridge.call(f"/v1/cache/explain/{key}")] == ["exact"]
    assert bridge.call(f"/v1/cache/explain/{key}", "key-of-tenant-b") == []
    bridge.house.shop.answers[question] = "her grandmother"
    assert bridge.call("/v1/cache/invalidate", body={"key": key})["exact"]["entries"] == 1
    served = bridge.served(protocol)
    key = served["cache-status"].partition('key="')[2].partition('"')[0]
    assert [entry["layer"] for entry in bridge.call(f"/v1/cache/explain/{key}")] == ["semantic"]
    assert bridge.call("/v1/cache/invalidate", body={"key": key})["semantic"]["entries"] == 1


def test_a_hit_that_is_reported_wrong_is_gone(bridge, protocol):
    asked = OPENING + " " * next(NEW)
    while "semantic" not in (status := bridge.ask(protocol, asked)[1])["cache-status"]:
        asked = OPENING + " " * next(NEW)
    count = len(bridge.house.gateway.parts.semantic)
    with pytest.raises(urllib.error.HTTPError, match="404"):  # somebody else's request does not exist
        bridge.call("/v1/cache/feedback", "key-of-tenant-b", {"request_id": status["x-request-id"]})
    assert bridge.call("/v1/cache/feedback", body={"request_id": status["x-request-id"]}) == {"removed": True}
    assert len(bridge.house.gateway.parts.semantic) == count - 1
    key = status["cache-status"].partition('key="')[2].partition('"')[0]
    assert key not in bridge.ask(protocol, asked)[1]["cache-status"]


def test_a_caller_can_raise_caution_but_never_lower_it(bridge, protocol):
    assert bridge.served(protocol, headers={"Cache-Control": "x-max-error=0"}) is None
    assert bridge.served(protocol, headers={"Cache-Control": "max-age=0"}) is None
    stored, asked = f"what is the weather in oslo {protocol}", f"what is the weather in lima {protocol}"
    bridge.ask(protocol, stored)
    assert bridge.hit(protocol, asked, headers={"Cache-Control": "x-max-error=0.9"})[1] == ""
