"""Where a sentence of a question ends, in scripts with blanks and without."""

from __future__ import annotations

import re

SENTENCE = re.compile(r"(?<=[?!.;])\s+(?=\w)|(?<=[?？。！])(?=[^\s?？。！])")
