"""Every page over a ledger: figures, filters, ranges in the URL, empty and error states, who may see what."""

import html
import re

import pytest

from hapenny.console.place import Place
from hapenny.console.sitemap import PAGES
from tests.console.pages import UNTIL, carried, configured, made, serving
from tests.settling import until

KEYS = """
keys: [{key: key-of-the-admin, scopes: [admin]}, {key: key-of-a-caller, tenant: tenant-01},
  {key: key-of-a-team, tenant: tenant-01, scopes: [call, console]}]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("console") / "ledger.db"
    rows = made(path)
    with serving(configured(path)) as (_, ask):
        yield ask, rows, path


def text(page):
    """What people read of a page."""
    main = page[page.index("<main") : page.index("</main>")]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.view)
def test_every_page_is_there_with_nothing_from_elsewhere(shop, page):
    ask, _, _ = shop
    for query in ("", "?range=7d", "?range=all&tenant=tenant-01&feature=search", "?from=2026-11-27&to=2026-11-29"):
        status, body, headers = ask("GET", page.path + query)
        assert status == 200
        assert f"<title>{html.escape(page.title)} · hapenny</title>" in body
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", body)
        assert "onclick" not in body


def test_the_overview_shows_the_bill_and_what_fails(shop):
    ask, rows, _ = shop
    told = text(ask("GET", "/?range=all")[1])
    clients = [row for row in rows if not row.background]
    assert f"requests {len(clients):,}" in told
    assert f"{sum(row.outcome == 'failed' for row in rows):,} failed" in told
    assert "adds up to the nano-dollar" in told
    assert "tenant-01 used 80 % of its day" in told
    assert "our own overhead p95" in told


def test_savings_come_with_interval_quality_invoice_and_holdout(shop):
    ask, _, _ = shop
    told = text(ask("GET", "/savings?range=all")[1])
    assert re.search(r"tiers a cheaper model where it does as well \+\$\S+ \d+\.\d% \d+\.\d% to \d+\.\d%", told)
    assert "loses at most 0.80 of 100 answers (may: 1.00; seen +0.20 on 900 pairs)" in told
    assert "safe cannot change an answer" in told
    assert "CloudWatch 30 days $10.00 $10.01 0.10%" in told
    assert re.search(r"holdout: \d+ requests of \d+ sessions", told)
    assert "provisioned" in told
    narrowed = text(ask("GET", "/savings?range=all&model=claude-haiku")[1])
    assert "the filter by model does not reach this page" in narrowed


@pytest.mark.parametrize("by", ["tenant", "key", "feature", "model", "route"])
def test_a_row_of_the_breakdown_narrows_every_other_page(shop, by):
    ask, _, _ = shop
    body = ask("GET", f"/by?by={by}&range=all")[1]
    assert "background" in text(body)
    link = html.unescape(re.search(r'<tr data-row="([^"]+)"', body).group(1))
    status, body, _ = ask("GET", link)
    assert status == 200
    assert f'<a class="chip" href="/by?range=all&amp;by={by}"' in body or "chip" in body
    narrowed = html.unescape(re.search(r'<a href="(/requests\?[^"]+)"', body).group(1))
    assert f"{by}=" in narrowed
    assert "by=" not in narrowed.replace(f"{by}=", "")


def test_requests_are_searched_and_paged(shop):
    ask, rows, _ = shop
    body = ask("GET", "/requests?range=all&outcome=failed")[1]
    failed = [row for row in rows if row.outcome == "failed"]
    shown = re.findall(r'data-row="/requests/(req-\w+)', body)
    assert shown == [row.id for row in sorted(failed, key=lambda row: -row.wall)][:50]
    body = ask("GET", "/requests?range=all")[1]
    older = html.unescape(re.search(r'<a href="([^"]+)">older', body).group(1))
    first, second = (re.findall(r'data-row="/requests/(req-\w+)', each) for each in (body, ask("GET", older)[1]))
    assert len(first) == len(second) == 50
    assert not set(first) & set(second)
    slowest = max((row for row in rows if not row.background and row.e2e), key=lambda row: row.e2e)
    assert (
        re.findall(r'data-row="/requests/(req-\w+)', ask("GET", "/requests?range=all&order=slow")[1])[0] == slowest.id
    )
    assert "No request id begins with “nobody”" in text(ask("GET", "/requests?id=nobody")[1])
    for wrong in ("fast", "nan", "inf", "1e400", "-1e30"):
        for name in ("slower", "dearer", "before"):
            status, body, _ = ask("GET", f"/requests?{name}={wrong}")
            assert status == 200
            assert f"{name}: '{wrong}' is no number" in text(body)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("range=7d&tenant=tenant-01&feature=", {"range": "7d", "tenant": "tenant-01", "feature": ""}),
        ("from=2026-11-27&to=2026-11-29T12:30", {"from": "2026-11-27T00:00", "to": "2026-11-29T12:30"}),
        ("tenant=tenant-01&model=claude-haiku&key=013f00d",
         {"tenant": "tenant-01", "model": "claude-haiku", "key": "013f00d"}),
    ],
)  # fmt: skip
def test_a_search_keeps_range_and_filters(shop, query, kept):
    ask, _, _ = shop
    assert carried(ask("GET", f"/requests?{query}")[1], "/requests", "id") == kept
    assert carried(ask("GET", f"/requests?{query}&order=slow")[1], "/requests", "id") == {**kept, "order": "slow"}


def test_a_filter_keeps_the_range_and_the_filters_before(shop):
    ask, _, _ = shop
    body = ask("GET", "/?range=7d&tenant=tenant-01&feature=")[1]
    assert carried(body, "/", "from") == {"range": "7d", "feature": ""}
    assert '<input name="tenant" value="tenant-01"' in body
    body = ask("GET", "/?from=2026-11-27&to=2026-11-29")[1]
    assert 'name="from" value="2026-11-27T00:00"' in body
    assert 'name="to" value="2026-11-29T00:00"' in body


@pytest.mark.parametrize("order", ["slow", "costly"])
def test_the_slowest_and_dearest_of_those_that_fit(shop, order):
    ask, rows, _ = shop
    known = {row.id: row for row in rows}
    body = ask("GET", f"/requests?range=all&order={order}&cache=miss&outcome=delivered")[1]
    shown = [known[id] for id in re.findall(r'data-row="/requests/(req-\w+)', body)]
    assert shown
    assert all(row.outcome == "delivered" and not row.cache_hit for row in shown)
    assert "those that fit" in text(body)
    assert "those that fit" not in text(ask("GET", f"/requests?range=all&order={order}")[1])


def test_one_request_tells_its_story(shop):
    ask, rows, _ = shop
    row = next(row for row in rows if row.savings.get("tiers") and row.notes)
    told = text(ask("GET", f"/requests/{row.id}")[1])
    for word in (
        row.tenant,
        row.feature or row.route,
        row.model_served,
        "without hapenny",
        "prompt cache",
        "certificate",
    ):
        assert word in told
    status, body, _ = ask("GET", "/requests/req-nobody")
    assert status == 404
    assert "half a second after its answer" in text(body)


def test_a_range_that_makes_no_sense_is_said_and_left_out(shop):
    ask, _, _ = shop
    assert "'yesterday' is no time. Write 2026-11-30" in text(ask("GET", "/?from=yesterday")[1])
    assert "range: '3y' is none. One of 1h" in text(ask("GET", "/?range=3y")[1])
    assert "to lies before from" in text(ask("GET", "/?from=2026-11-29&to=2026-11-01")[1])
    assert "Nothing arrived in “last hour” with these filters" in text(ask("GET", "/?range=1h&tenant=nobody")[1])


def test_names_that_clients_chose_are_text(tmp_path):
    made(tmp_path / "l.db", 30, days=0.5)
    from hapenny.telemetry.ledger_file import LedgerFile
    from hapenny.telemetry.rows import Row

    file = LedgerFile(str(tmp_path / "l.db"))
    nasty = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
    file.insert([Row(id="req-nasty", wall=UNTIL - 5, tenant=nasty, feature=nasty, model_served=nasty, notes=(nasty,))])
    file.close()
    with serving(configured(tmp_path / "l.db")) as (_, ask):
        for path in (
            "/",
            "/by?by=feature",
            "/by?by=tenant",
            "/routing",
            "/requests",
            "/requests/req-nasty",
            "/capacity",
        ):
            body = ask("GET", path)[1]
            assert "<img" not in body
            assert "{{7*7}}" in html.unescape(body) or path in ("/", "/capacity")


def test_without_a_ledger_each_page_says_what_to_do(tmp_path):
    from hapenny.config import load

    with serving(configured(tmp_path / "none" / "l.db")) as (_, ask):
        for page in PAGES:
            status, body, _ = ask("GET", page.path)
            assert status == 200
            assert (
                page.view in ("playground", "labels", "experiments", "keys") or "hapenny serve -c hapenny.yaml" in body
            )
    with serving(load(text="backends: {simulated: {kind: simulated}}\nledger:\n")) as (_, ask):
        assert "keeps no ledger" in ask("GET", "/")[1]


def test_a_ledger_that_appears_later_and_one_that_is_damaged_are_told(tmp_path):
    with serving(configured(tmp_path / "l.db")) as (_, ask):
        assert "There is no ledger yet" in ask("GET", "/")[1]
        made(tmp_path / "l.db", 200)
        assert "adds up to the nano-dollar" in ask("GET", "/?range=all")[1]
        for name in ("l.db", "l.db-wal", "l.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        assert "There is no ledger yet" in ask("GET", "/")[1]
        rows = made(tmp_path / "l.db", 90, days=0.5)
        assert f"requests {sum(not row.background for row in rows)}" in text(ask("GET", "/?range=all")[1])
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 9_000)
    with serving(configured(tmp_path / "damaged.db")) as (_, ask):
        status, body, _ = ask("GET", "/")
        assert status == 200
        assert "Restore it from a copy" in body


def test_a_team_sees_its_own_tenant_alone(shop):
    _, rows, path = shop
    with serving(configured(path, KEYS), login=True) as (_, ask):
        assert ask("POST", "/login", {"key": "key-of-a-caller"})[0] == 401
        status, _, headers = ask("POST", "/login", {"key": "key-of-a-team"})
        assert status == 303
        cookie = headers["Set-Cookie"].partition(";")[0]
        for page in PAGES:
            status, body, _ = ask("GET", f"{page.path}?range=all&tenant=tenant-00", Cookie=cookie)
            assert status == (200 if page.tenants else 404)
            assert "tenant-00" not in body
        mine = [row for row in rows if row.tenant == "tenant-01" and not row.background]
        assert f"requests {len(mine):,}" in text(ask("GET", "/?range=all", Cookie=cookie)[1])
        other = next(row for row in rows if row.tenant == "tenant-00")
        assert ask("GET", f"/requests/{other.id}", Cookie=cookie)[0] == 404
        assert ask("GET", f"/requests?range=all&id={other.id}", Cookie=cookie)[1].count("data-row") == 0
        token = re.search(r'name="token" value="(\w+)"', ask("GET", "/", Cookie=cookie)[1]).group(1)
        for form in ("/cache", "/playground", "/labels"):
            assert ask("POST", form, {"token": token, "everything": "yes"}, Cookie=cookie)[0] == 403
        assert ask("POST", "/logout", {"token": token}, Cookie=cookie)[0] == 303
        assert ask("GET", "/", Cookie=cookie)[0] == 401


def test_without_a_gateway_pages_say_how_to_name_one(shop):
    ask, _, path = shop
    assert "hapenny console --url" in text(ask("GET", "/cache")[1])
    with serving(configured(path), live=("http://127.0.0.1:9", "")) as (_, ask_alone):
        told = text(ask_alone("GET", "/capacity")[1])
        assert "No gateway answers at http://127.0.0.1:9" in told
        assert "does not answer" in text(ask_alone("GET", "/")[1])


def test_styles_and_the_script_are_its_own(shop):
    ask, _, _ = shop
    for name, kind in (("console.css", "text/css"), ("console.js", "text/javascript")):
        status, body, headers = ask("GET", f"/static/{name}")
        assert (status, headers["Content-Type"].partition(";")[0]) == (200, kind)
        assert "http" not in body
    assert ask("GET", "/static/../site.py")[0] == 404


def test_urls_keep_range_and_filters_from_page_to_page():
    query = {"range": "7d", "tenant": "a b", "feature": "", "by": "key"}
    place = Place.read("/by", query, UNTIL, None)
    assert place.url("/requests") == "/requests?range=7d&tenant=a+b&feature="
    assert place.url() == "/by?range=7d&tenant=a+b&feature=&by=key"
    assert place.url(range="24h", tenant=None, feature=None) == "/by?by=key"
    assert Place.read("/", {"tenant": "other"}, UNTIL, "mine").filters == {"tenant": "mine"}
    assert "tenant" not in Place.read("/", {}, UNTIL, "mine").url("/by")
    fixed = Place.read("/", {"from": "2026-11-01", "to": "2026-11-02T12:00"}, UNTIL, None)
    assert fixed.url("/by") == "/by?from=2026-11-01T00%3A00&to=2026-11-02T12%3A00"


QUOTA = "stages: {throughput: {models: {claude-haiku: {quota: {tokens_per_minute: 3000}}}}}"


def test_use_of_quotas_forecast_calls_in_flight_and_patterns(shop):
    _, _, path = shop
    with serving(configured(path, QUOTA)) as (_, ask):

        def counted():
            page = text(ask("GET", "/capacity?range=7d")[1])
            return page if "When quotas" in page else ""

        told = until(counted)
    assert re.search(r"claude-haiku us-\w+-1, standard \d+% \d+% [\d,]+ p50 [\d,]+, most [\d,]+ 3,000", told)
    assert re.search(
        r"claude-haiku us-\w+-\d (no end in sight|runs out in|reached in).*Stands on \d+ points over", told
    )
    assert re.search(r"claude-opus us-\w+-\d [\d.]+ a second × [\d.]+ m?s = [\d.]+", told)
    assert re.search(r"question \d+ [\d,]+ / [\d,]+ \d+ / \d+ \d+%", told)
    assert "24 hours" in told
    assert "requests were turned away for lack of capacity" in told


def test_a_tenant_does_not_see_the_use_of_others_quotas(shop):
    _, _, path = shop
    with serving(configured(path, KEYS + QUOTA), login=True) as (_, ask):
        status, _, headers = ask("POST", "/login", {"key": "key-of-a-team"})
        assert status == 303
        told = text(ask("GET", "/capacity?range=7d", Cookie=headers["Set-Cookie"].partition(";")[0])[1])
    assert "Calls to models" in told
    assert "Use of quotas" not in told


def test_keys_are_there_before_the_first_request(tmp_path):
    with serving(configured(tmp_path / "none.db", KEYS)) as (_, ask):
        told = text(ask("GET", "/keys")[1])
    assert "tenant-01" in told
    assert "call console" in told
