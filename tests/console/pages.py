"""A console over a ledger of some days, as tests visit it."""

import contextlib
import html
import http.client
import re
import threading
from urllib.parse import urlencode

from benchmarks.console.made_ledger import rows

from hapenny.config import load
from hapenny.console.live import Live
from hapenny.console.login import Logins
from hapenny.console.site import Console
from hapenny.core.clock import RealClock
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rows import Entry, verdict

UNTIL = 1_796_000_000.0


class Then(RealClock):
    """A clock at the end of the ledger."""

    def wall(self):
        return UNTIL


def made(path, count=3_000, days=4.0):
    """A ledger with scores, a loss budget, alerts, an invoice and capacity; its rows."""
    file = LedgerFile(str(path))
    made = list(rows(count, UNTIL, days=days, tenants=4))
    entries = [verdict(row.id, float(number % 9 > 0), "audit", row.wall) for number, row in enumerate(made[::20])]
    spent = {"route": "default", "state": "open", "why": "", "limit": 0.01, "bound": 0.008, "loss": 0.002, "pairs": 900,
             "share": 0.6}  # fmt: skip
    invoice = {"source": "CloudWatch", "period": "30 days", "ours": "$10.00", "theirs": "$10.01", "apart": 0.001,
               "agrees": 1, "note": ""}  # fmt: skip
    alert = {"alert": "budget", "subject": "tenant-01 used 80 % of its day", "limit": 5.0, "spent": 4.0}
    entries += [
        Entry(kind="evidence", wall=UNTIL - 60, technique="tiers", actual=0, detail=spent),
        Entry(kind="invoice", wall=UNTIL - 60, technique="", actual=0, detail=invoice),
        Entry(kind="alert", wall=UNTIL - 60, technique="", actual=0, detail=alert),
        Entry(kind="capacity", wall=UNTIL - 3_600, technique="provisioned", actual=10**9, saved=-(10**9), model="unit"),
    ]
    for start in range(0, len(made), 1_000):
        file.insert([*made[start : start + 1_000], *entries])
        entries = []
    file.close()
    return made


@contextlib.contextmanager
def serving(config, login=False, live=("", ""), clock=None, file=None):
    """(port, ask) of a console: `ask(method, path, form, **headers)` gives status, body, headers."""
    clock = clock or Then()
    console = Console(config, clock, None, Logins(config, clock) if login else None, Live(*live, clock), file)
    port = console.listen("127.0.0.1", 0)
    thread = threading.Thread(target=console.run)
    thread.start()

    def ask(method, path, form=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        data = urlencode(form) if form is not None else None
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if data is not None else {}
        connection.request(method, path, data, {**kind, **{name.replace("_", "-"): v for name, v in headers.items()}})
        reply = connection.getresponse()
        told = reply.status, reply.read().decode(), dict(reply.getheaders())
        connection.close()
        return told

    try:
        yield port, ask
    finally:
        console.stop()
        thread.join()


def configured(path, extra=""):
    """A configuration whose ledger is at `path`."""
    return load(text=f'backends: {{simulated: {{kind: simulated}}}}\nledger: {{path: "{path}"}}\n{extra}')


def carried(page, action, field, method="get"):
    """Hidden parameters of the form that leads to `action` and has `field`."""
    forms = re.findall(rf'<form[^>]*method="{method}"[^>]*action="{re.escape(action)}"[^>]*>.*?</form>', page, re.S)
    (form,) = (each for each in forms if f' name="{field}"' in each)
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)
    return {name: html.unescape(value) for name, value in fields if name not in ("token", "run")}
