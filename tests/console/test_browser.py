"""The console in headless Chromium: wide and narrow, light and dark, keys, live parts, nothing from elsewhere."""

import pytest

from hapenny.console.sitemap import PAGES
from tests.console.pages import configured, made, serving
from tests.settling import until

pytestmark = [pytest.mark.long, pytest.mark.chromium]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "ledger.db"
    made(path)
    with serving(configured(path)) as (port, _):
        yield port


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window_or_complains(chromium, port, width):
    for page in PAGES:
        for dark in (False, True):
            chromium.size(width, dark=dark)
            chromium.open(f"http://127.0.0.1:{port}{page.path}?range=7d")
            assert chromium.problems() == []
            assert chromium.hosts() == {f"http://127.0.0.1:{port}"}
            assert chromium.run("document.documentElement.scrollWidth") <= width, page.path
            background = chromium.run("getComputedStyle(document.body).backgroundColor")
            light = sum(map(int, background[4:-1].split(","))) > 380
            assert light != dark


def test_text_stands_out_in_both_colours(chromium, port):
    contrast = """(() => {
      const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
      const light = (text) => { const [r, g, b] = rgb(text).map((v) => { v /= 255;
        return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
      const ground = (one) => { for (; one; one = one.parentElement) {
        const colour = getComputedStyle(one).backgroundColor;
        if (!/, 0\\)|transparent/.test(colour)) return colour; } return "rgb(255,255,255)"; };
      let worst = 99, where = "";
      for (const one of document.querySelectorAll("main *, .side a, .side h2")) {
        if (![...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || one.closest("svg")) continue;
        if (!one.offsetParent) continue;
        const a = light(getComputedStyle(one).color), b = light(ground(one));
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < worst) { worst = ratio; where = one.outerHTML.slice(0, 120); }
      }
      return [worst, where];
    })()"""
    for dark in (False, True):
        chromium.size(1280, dark=dark)
        for path in ("/", "/savings", "/requests", "/latency", "/keys"):
            chromium.open(f"http://127.0.0.1:{port}{path}?range=7d")
            worst, where = chromium.run(contrast)
            assert worst >= 4.5, (path, dark, where)


def test_everything_can_be_done_with_keys(chromium, port):
    chromium.size(1280)
    chromium.open(f"http://127.0.0.1:{port}/?range=7d")
    for keys, path in ((("g", "r"), "/requests?range=7d"), (("5",), "/requests?range=30d")):
        chromium.events.clear()
        chromium.keys(keys)
        chromium.settle()
        assert chromium.run("location.pathname + location.search") == path
    chromium.keys(("j", "j"))
    row = chromium.run("document.querySelector('tr.at').dataset.row")
    chromium.events.clear()
    chromium.keys(("Enter",))
    chromium.settle()
    assert chromium.run("location.pathname + location.search") == row
    before = chromium.run("getComputedStyle(document.body).backgroundColor")
    chromium.keys(("t",))
    assert chromium.run("getComputedStyle(document.body).backgroundColor") != before
    chromium.keys(("t", "?"))
    assert chromium.run("document.querySelector('#help').open")
    chromium.run("document.querySelector('#help').close()")


def test_a_replay_is_begun_watched_and_read_with_keys_alone(chromium, tmp_path):
    made(tmp_path / "ledger.db", 300)
    (tmp_path / "hapenny.yaml").write_text(f'ledger: {{path: "{tmp_path}/ledger.db"}}\n')
    with serving(configured(tmp_path / "ledger.db"), file=tmp_path / "hapenny.yaml") as (port, _):
        for width in (1280, 390):
            chromium.size(width)
            chromium.open(f"http://127.0.0.1:{port}/")
            chromium.events.clear()
            chromium.keys(("g", "w"))
            chromium.settle()
            assert chromium.run("location.pathname") == "/whatif"
            chromium.run("document.querySelector('input[name=serves]').focus()")
            for _ in range(12):
                chromium.keys(("Tab",))
                if chromium.run("document.activeElement.textContent") == "replay":
                    break
            chromium.events.clear()
            chromium.keys(("Enter",))
            chromium.settle()
            # The page follows by itself: nobody reloads it.
            done = "document.querySelectorAll('main svg[aria-label^=\"Savings waterfall\"]').length"
            until(lambda: chromium.run(done), 60)  # noqa: B023
            assert chromium.run("document.documentElement.scrollWidth") <= width
            assert chromium.problems() == []


def test_the_menu_opens_on_a_small_screen(chromium, port):
    chromium.size(390)
    chromium.open(f"http://127.0.0.1:{port}/")
    shown = "getComputedStyle(document.querySelector('.side nav')).display"
    assert chromium.run(shown) == "none"
    chromium.run("document.querySelector('.menu').click()")
    assert chromium.run(shown) == "block"


def test_without_its_script_a_page_works(chromium, port):
    chromium.size(1280)
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(f"http://127.0.0.1:{port}/by?range=7d")
        assert chromium.run("document.querySelectorAll('main tr[data-row] a').length") > 3
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_report_for_a_manager_fits_a_telephone(chromium, tmp_path):
    from click.testing import CliRunner

    from hapenny.cli.main import main

    made(tmp_path / "l.db", 800)
    page = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["report", "--ledger", str(tmp_path / "l.db"), "--html", str(page)])
    assert done.exit_code == 0
    for width in (390, 1280):
        chromium.size(width)
        chromium.open(page.as_uri())
        assert chromium.problems() == []
        assert chromium.run("document.documentElement.scrollWidth") <= width
