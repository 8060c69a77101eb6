from tests.caching.conftest import clock  # noqa: F401
