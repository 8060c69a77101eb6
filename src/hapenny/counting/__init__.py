"""The learning token estimator: one state per (provider, model), taught by the usage that providers report.

May import catalog and core.
"""

from hapenny.counting.base import o200k
from hapenny.counting.estimator import Estimate, Estimator, State
from hapenny.counting.features import FeatureCache, Vector
from hapenny.counting.registry import Estimators, share

__all__ = ["Estimate", "Estimator", "Estimators", "FeatureCache", "State", "Vector", "o200k", "share"]
