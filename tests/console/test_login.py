"""Who may look at the console: this machine under its own names, others with a key of scope admin."""

import contextlib
import json
import time

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main
from hapenny.config import load
from hapenny.console.login import TRIES
from hapenny.core.clock import RealClock
from tests.console.pages import serving
from tests.settling import until

CONFIG = """
backends: {simulated: {kind: simulated}}
ledger: {path: "%s"}
admission: {refresh_s: 0.01}
server: {hosts: [console.example.com]}
keys: [{key: key-of-the-admin, scopes: [admin]}, {key: key-of-a-caller}]
"""


@contextlib.contextmanager
def console(tmp_path, login=False):
    """(a function that asks a console, its configuration's file)."""
    file = tmp_path / "h.yaml"
    file.write_text(CONFIG % (tmp_path / "ledger.db"))
    with serving(load(str(file)), login, clock=RealClock()) as (_, ask):
        yield ask, file


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8791", "localhost:8791", "[::1]:1", "box", "console.example.com"]
)
def test_its_own_names_are_answered(tmp_path, host):
    with console(tmp_path) as (ask, _):
        assert ask("GET", "/", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["rebound.evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "1.2.3.4x.de"]
)
@pytest.mark.parametrize("path", ["/", "/labels?who=x"])
def test_a_foreign_name_gets_nothing(tmp_path, host, path):
    with console(tmp_path) as (ask, _):
        status, page, _ = ask("GET", path, Host=host)
        assert status == 403
        assert "token" not in page
        assert ask("POST", "/labels", {"who": "x"}, Host=host)[0] == 403


def test_a_page_of_another_site_may_not_say_anything(tmp_path):
    with console(tmp_path) as (ask, _):
        assert ask("POST", "/labels", {"who": "x"}, Host="127.0.0.1", Origin="http://evil.example")[0] == 403


def test_where_others_reach_it_it_asks_for_a_key(tmp_path):
    with console(tmp_path, login=True) as (ask, _):
        for path in ("/", "/labels?who=x"):
            status, page, _ = ask("GET", path)
            assert status == 401
            assert 'name="key"' in page
        assert ask("POST", "/labels", {"who": "x"})[0] == 401
        for key in ("", "hk-wrong", "key-of-a-caller"):
            assert ask("POST", "/login", {"key": key})[0] == 401
        status, _, headers = ask("POST", "/login", {"key": "key-of-the-admin"})
        assert status == 303
        assert "HttpOnly" in headers["Set-Cookie"]
        assert "SameSite=Strict" in headers["Set-Cookie"]
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert ask("GET", "/", Cookie=cookie)[0] == 200
        assert ask("GET", "/", Cookie=cookie + "x")[0] == 401


def test_too_many_wrong_keys_close_the_door(tmp_path):
    with console(tmp_path, login=True) as (ask, _):
        for _ in range(TRIES):
            ask("POST", "/login", {"key": "wrong"})
        assert ask("POST", "/login", {"key": "key-of-the-admin"})[0] == 401


def test_a_session_ends_with_its_key(tmp_path):
    with console(tmp_path, login=True) as (ask, file):
        made = CliRunner().invoke(main, ["keys", "create", "-c", str(file), "--scope", "admin", "--json"])
        minted = json.loads(made.output)
        for _ in range(TRIES - 1):  # the console reads the keys anew now and then
            status, _, headers = ask("POST", "/login", {"key": minted["key"]})
            if status == 303:
                break
            time.sleep(0.1)
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert ask("GET", "/", Cookie=cookie)[0] == 200
        assert CliRunner().invoke(main, ["keys", "revoke", "-c", str(file), minted["id"]]).exit_code == 0
        until(lambda: ask("GET", "/", Cookie=cookie)[0] != 200)


def test_without_a_key_that_could_open_it_it_does_not_listen_to_others(tmp_path):
    file = tmp_path / "h.yaml"
    file.write_text(f'backends: {{simulated: {{kind: simulated}}}}\nledger: {{path: "{tmp_path / "l.db"}"}}\n')
    done = CliRunner().invoke(main, ["console", "-c", str(file), "--host", "0.0.0.0", "--port", "0"])
    assert done.exit_code == 1
    assert "keys create --scope admin" in done.output
