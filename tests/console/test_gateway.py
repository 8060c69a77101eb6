"""The console beside a running gateway: what only its memory knows, the playground, explain and invalidate."""

import html
import re

import pytest

from hapenny.config import load
from hapenny.console.live import Live
from hapenny.console.site import Console
from hapenny.core.clock import RealClock
from tests.cli.test_serve import serving
from tests.console.pages import carried
from tests.console.test_pages import text
from tests.settling import until

CONFIG = """
ledger: {path: "%s", flush_s: 0.05}
backends: {simulated: {kind: simulated}}
server: {port: 0}
keys: [{key: key-of-the-admin, scopes: [call, admin], budgets: [{usd: 5, window: day}]}]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A gateway in another process: its configuration's file, its URL."""
    folder = tmp_path_factory.mktemp("gateway")
    with serving(folder, CONFIG % (folder / "ledger.db")) as (_, url):
        yield folder / "h.yaml", url


@pytest.fixture(scope="module")
def beside(served):
    path, url = served
    clock = RealClock()
    return Console(load(str(path)), clock, live=Live(url, "key-of-the-admin", clock))


def shown(console, path, **query):
    status, body = console.show(path, query, "")
    assert status == 200
    return body


def token(console):
    return re.search(r'name="token" value="(\w+)"', shown(console, "/playground")).group(1)


def asked(console, question):
    said = console.say("/playground", {"token": token(console), "question": question, "model": "fast"})
    assert said.status == 200
    return said.body


def test_a_question_is_answered_priced_and_told(beside):
    body = asked(beside, "Where is my order?")
    told = text(body)
    assert "x-hapenny-cost" in told
    assert "x-hapenny-model" in told
    story = html.unescape(re.search(r'href="(/requests/[^"?]+)', body).group(1))
    until(lambda: beside.show(story, {"range": "all"}, "")[0] == 200)  # half a second until it is in the ledger
    assert "without hapenny" in text(shown(beside, story, range="all"))
    assert "adds up to the nano-dollar" in text(shown(beside, "/"))


def test_caches_are_explained_and_emptied(beside):
    for _ in range(2):
        asked(beside, "When do you open?")
    told = text(shown(beside, "/cache", entries="all"))
    assert "exact layer" in told
    assert "entries" in told
    look = beside.say("/cache", {"token": token(beside), "everything": "yes", "what": "look"})
    assert "Would go:" in text(look.body)
    gone = beside.say("/cache", {"token": token(beside), "everything": "yes", "what": "remove"})
    assert re.search(r"Removed: .*[1-9]\d* of exact", text(gone.body))
    kept = {"range": "7d", "tenant": "nobody"}
    body = shown(beside, "/cache", **kept)
    assert carried(body, "/cache", "entry") == carried(body, "/cache", "entry", "post") == kept
    again = beside.say("/cache", {"token": token(beside), "everything": "yes", "what": "look", **kept})
    assert carried(again.body, "/cache", "entry", "post") == kept
    refused = beside.say("/cache", {"token": token(beside), "what": "remove"})
    assert refused.status == 400
    assert "Say what goes" in text(refused.body)
    wrong = beside.say("/cache", {"token": token(beside), "what": "remove", "older_than_s": "long"})
    assert "is no number of seconds" in text(wrong.body)


def test_queues_budgets_and_promises_are_asked_of_the_gateway(beside):
    asked(beside, "What is volume three about?")
    assert "in flight" in text(shown(beside, "/capacity"))
    told = text(shown(beside, "/keys"))
    assert "$5.00" in told
    assert "Not shown" not in told
    assert "Not shown" not in text(shown(beside, "/routing"))
    assert "Not shown" not in text(shown(beside, "/learning"))


def test_a_form_without_its_token_does_nothing(beside):
    for path in ("/cache", "/playground"):
        said = beside.say(path, {"token": "0" * 64, "question": "x", "everything": "yes", "what": "remove"})
        assert said.status == 403
        assert "from another session" in text(said.body)


def test_a_key_that_may_not_is_told(served):
    _, url = served
    config, clock = load(text="backends: {simulated: {kind: simulated}}\nledger:\n"), RealClock()
    console = Console(config, clock, live=Live(url, "wrong", clock))
    assert "The gateway refuses this" in text(console.show("/playground", {}, "")[1])
