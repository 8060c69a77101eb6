"""Service rules: what providers refuse beyond their schemas, as one table that composing and simulating obey.

`fit` makes a request acceptable, `broken` finds what a body breaks, `RULES` is the table with its sources.
"""

from hapenny.protocols.rules.attribution import reserved
from hapenny.protocols.rules.draft import HOME
from hapenny.protocols.rules.fit import Fitted, broken, fit
from hapenny.protocols.rules.subject import Service
from hapenny.protocols.rules.table import RULES, Breach, Rule
from hapenny.protocols.rules.undo import Undo

__all__ = ["HOME", "RULES", "Breach", "Fitted", "Rule", "Service", "Undo", "broken", "fit", "reserved"]
