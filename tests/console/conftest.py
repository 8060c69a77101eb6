"""What all tests of the console may take."""

from tests.browser import chromium  # noqa: F401
