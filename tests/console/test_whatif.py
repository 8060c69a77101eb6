"""What if: configurations are chosen, replayed in a process of their own, and shown side by side."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from hapenny.console.candidates import candidates, written
from hapenny.console.replays import Busy, Replays
from hapenny.core.clock import RealClock
from tests.console.pages import carried, configured, made, serving
from tests.console.test_pages import text
from tests.settling import until

CONFIG = """
backends: {simulated: {kind: simulated}}
ledger: {path: "%s"}
alerts: {webhook: "http://127.0.0.1:9/x"}
emf: {path: "-"}
shared: "redis://127.0.0.1:9"
fingerprint_key: 0123456789abcdef
routes: {default: {stages: {exact: off}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("whatif")
    made(place / "ledger.db", 400)
    (place / "hapenny.yaml").write_text(CONFIG % (place / "ledger.db"))
    (place / "open.yaml").write_text("routes: {default: {cache_any_temperature: true}}\n")
    (place / "broken.yaml").write_text("routes: {default: {stagez: {}}}\n")
    (place / "compose.yaml").write_text("services: {db: {image: postgres}}\n")
    return place


@pytest.fixture(scope="module")
def shop(folder):
    with serving(configured(folder / "ledger.db"), file=folder / "hapenny.yaml") as (_, ask):
        yield ask


def post(ask, **form):
    token = re.search(r'name="token" value="(\w+)"', ask("GET", "/whatif")[1]).group(1)
    return ask("POST", "/whatif", {"token": token, **form})


def replayed(ask, **form):
    """The page of a replay that has ended."""
    status, body, headers = post(ask, **form)
    assert status == 303, text(body)
    until(lambda: 'role="progressbar"' not in ask("GET", headers["Location"])[1], 60)
    return headers["Location"], ask("GET", headers["Location"])[1]


def test_configurations_are_replayed_side_by_side(shop):
    where, body = replayed(
        shop, serves="yes", yaml="routes: {default: {cache_any_temperature: true}}", range="all", tenant="tenant-01",
        **{"preset-safe": "yes", "file-open.yaml": "yes"},
    )  # fmt: skip
    query = parse_qs(urlsplit(where).query)
    assert (query["range"], query["tenant"]) == (["all"], ["tenant-01"])
    told = text(body)
    for name in ("as it serves", "preset safe", "open.yaml", "with changes"):
        assert body.count(f">{name}</th>") == 1
    assert re.search(r"The newest \d+ requests of “everything, tenant tenant-01”, replayed", told)
    assert "less than as it serves" in told
    assert re.search(
        r"saved of the baseline certain; 95 % from slice to slice -?\d+\.\d% -?\d+\.\d% to -?\d+\.\d%", told
    )
    for drawing in (
        "Saved of the baseline, by configuration",
        "Paid over the time of the log, by configuration",
        "Share of answers that are whole within so many seconds",
        "Savings waterfall",
    ):
        assert f'aria-label="{drawing}' in body
    assert body.count('aria-label="Savings waterfall') == 4
    assert "hapenny whatif --log" in told
    assert "as it serves, preset safe, open.yaml, with changes" in text(shop("GET", "/whatif")[1])  # earlier replays


def test_stopping_keeps_range_and_filters(shop):
    chosen = {"range": "all", "tenant": "tenant-01", "feature": "search"}
    _, _, headers = post(shop, serves="yes", yaml="routes: {default: {cache_any_temperature: true}}", **chosen)
    running = shop("GET", headers["Location"])[1]
    assert carried(running[running.index("progressbar") :], "/whatif", "run", "post") == chosen
    run = re.search(r'name="run" value="(\w+)"', running).group(1)
    _, _, stopped = post(shop, what="stop", run=run, **chosen)
    assert stopped["Location"] == headers["Location"]
    until(lambda: 'role="progressbar"' not in shop("GET", headers["Location"])[1], 60)


def test_a_configuration_that_is_wrong_is_said_with_its_fix(shop):
    _, body = replayed(shop, range="all", **{"file-broken.yaml": "yes"})
    assert "This replay failed." in text(body)
    assert "stagez: unknown key. Fix: did you mean 'stages'?" in text(body)


def test_a_range_without_requests_is_said(shop):
    _, body = replayed(shop, serves="yes", tenant="nobody")
    assert "no requests in this range with these filters" in text(body)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({}, "Choose at least one configuration"),
        ({"yaml": "routes: ["}, "The changes are no YAML"),
        ({"yaml": "just words"}, "The changes are no mapping"),
        ({"file-/etc/passwd": "yes"}, "Choose at least one configuration"),
        ({"serves": "yes", "preset-safe": "yes", "preset-balanced": "yes", "file-open.yaml": "yes", "yaml": "a: 1"},
         "5 configurations are too many"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_said(shop, form, why):
    status, body, _ = post(shop, **form)
    assert status == 400
    assert why in text(body)


def test_a_replay_that_is_not_kept_is_said(shop):
    assert "This replay is not kept any more" in text(shop("GET", "/whatif?run=0123")[1])


def test_without_the_file_of_its_configuration_the_page_says_how(tmp_path):
    made(tmp_path / "l.db", 50)
    with serving(configured(tmp_path / "l.db")) as (_, ask):
        told = text(ask("GET", "/whatif")[1])
        assert "start it with hapenny console -c hapenny.yaml" in told
        token = re.search(r'name="token" value="(\w+)"', ask("GET", "/playground")[1]).group(1)
        assert ask("POST", "/whatif", {"token": token, "serves": "yes"})[0] == 400


def test_only_configurations_in_the_same_folder_are_offered(folder):
    offered = [each.id for each in candidates(folder / "hapenny.yaml")]
    assert offered == ["serves", "preset-safe", "preset-balanced", "file-broken.yaml", "file-open.yaml"]
    for wrong in ("file-../ledger.db", "file-compose.yaml", "preset-none"):
        with pytest.raises(ValueError, match=r"no longer beside|no configuration"):
            written(folder / "hapenny.yaml", wrong, "", folder)


def test_changes_reach_into_sections_and_keep_secrets_as_they_are_written(tmp_path):
    file = tmp_path / "h.yaml"
    file.write_text("keys: [{key: '${SECRET}'}]\nroutes: {default: {preset: balanced, stages: {semantic: on}}}\n")
    made = written(file, "changes", "routes: {default: {stages: {tiers: off}}}", tmp_path).read_text()
    assert "${SECRET}" in made
    assert re.search(r"preset: balanced\s+stages:\s+semantic: true\s+tiers: false", made)


def test_one_at_a_time_which_can_be_stopped(folder):
    replays = Replays(RealClock())

    def start():
        return replays.start(["one"], lambda _: [folder / "hapenny.yaml"], ["--log", str(folder / "ledger.db")], "all")

    first = start()
    with pytest.raises(Busy, match=first.id):
        start()
    replays.stop(first.id)
    assert replays.get(first.id).state == "stopped"
    until(lambda: replays.recent() and _starts(start))
    replays.close()


def _starts(start):
    try:
        return start()
    except Busy:
        return None


def test_one_that_takes_too_long_is_ended(folder):
    replays = Replays(RealClock(), limit_s=0.05)
    one = replays.start(["one"], lambda _: [folder / "hapenny.yaml"], ["--log", str(folder / "ledger.db")], "all")
    until(lambda: one.state != "running")
    assert one.state == "failed"
    assert "Fix: fewer requests" in one.error
