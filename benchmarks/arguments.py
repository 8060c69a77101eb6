"""The arguments that every benchmark takes, so that all can be called alike."""

from __future__ import annotations

import argparse

_COMMON: dict[str, bool] = {"--data": False, "--train": False, "--cache": False, "--records": False, "--quick": True,
                            "--json": True}  # fmt: skip
"""Option -> whether it is a switch."""


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the command line; what a benchmark does not declare itself is accepted and not used."""
    for name, switch in _COMMON.items():
        how = {"action": "store_true"} if switch else {}
        try:
            parser.add_argument(name, help="taken by all benchmarks, not used by this one", **how)  # type: ignore[arg-type]
        except argparse.ArgumentError:
            continue  # declared
    return parser.parse_args()
