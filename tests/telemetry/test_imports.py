"""What is not used is not loaded."""

import subprocess
import sys


def test_telemetry_loads_nothing_heavy_before_it_is_used():
    code = (
        "import sys, hapenny.telemetry.traces, hapenny.telemetry.books, hapenny.telemetry.ledger,"
        " hapenny.telemetry.metrics, hapenny.telemetry.headers, hapenny.telemetry.live\n"
        "heavy = ('opentelemetry', 'prometheus_client', 'cryptography', 'rich', 'click')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
