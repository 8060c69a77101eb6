"""Shared test set-up: long tests run only with --long; real servers on request."""

from tests.servers import (  # noqa: F401  (fixtures and the summary hook)
    aws_batches,
    nginx_binary,
    postgres_dsn,
    postgres_server,
    pytest_terminal_summary,
    redis_server,
    redis_url,
)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run soak tests, long fuzz and all scenarios")
    parser.addoption("--fault-minutes", type=float, default=3, help="with --long: how long faults are mixed")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    kept, left = [], []
    for item in items:
        (left if item.get_closest_marker("long") else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept
