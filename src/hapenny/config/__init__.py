"""The configuration of a deployment: one YAML, read strictly.

Unknown keys, wrong types and contradictions are refused at start with path, value and fix. May import the
stages' rooms and everything below them.
"""

from hapenny.backends.kind import BackendOptions
from hapenny.backends.simulated_kind import QuotaOptions, SimulatedOptions
from hapenny.config.checking import check
from hapenny.config.options import ApiGatewayOptions, Config, ServerOptions
from hapenny.config.problems import ConfigError
from hapenny.config.providers import BatchApiOptions, BatchJobs, ModelOptions
from hapenny.config.reading import load
from hapenny.config.routes import CARD_TIERS, TIERS, KeyOptions, RouteOptions
from hapenny.config.stages import LOSSY, PRESETS, STAGES, StageOptions
from hapenny.config.version import answer_version
from hapenny.telemetry.ledger import LedgerOptions

__all__ = [
    "CARD_TIERS",
    "LOSSY",
    "PRESETS",
    "STAGES",
    "TIERS",
    "ApiGatewayOptions",
    "BackendOptions",
    "BatchApiOptions",
    "BatchJobs",
    "Config",
    "ConfigError",
    "KeyOptions",
    "LedgerOptions",
    "ModelOptions",
    "QuotaOptions",
    "RouteOptions",
    "ServerOptions",
    "SimulatedOptions",
    "StageOptions",
    "answer_version",
    "check",
    "load",
]
