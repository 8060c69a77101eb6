"""A headless browser for tests: one for all of them, or a reason why there is none."""

import pytest
from benchmarks.console.browser import Browser, found


@pytest.fixture(scope="session")
def chromium():
    """A tab of a browser. Tests that take it are marked `chromium`, and `long` where they cost seconds."""
    program = found()
    if program is None:
        pytest.skip("no Chromium here: apt install chromium, or name one in CHROMIUM")
    with Browser(program) as tab:
        yield tab
