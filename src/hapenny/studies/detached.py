"""A configuration whose gateway touches nothing that the deployment has: books, stores, exports, webhook."""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.admission.options import AdmissionOptions
from hapenny.config import Config


def detached(config: Config) -> Config:
    """`config` for a gateway that runs beside the deployment, with backends of its own; collections are left out."""
    return replace(
        config, ledger=None, state="", shared="", counters="memory", admission=AdmissionOptions(store="memory:"),
        alerts=replace(config.alerts, webhook=""), traces=None, emf=None, content=None, batch=None, collections={},
    )  # fmt: skip
