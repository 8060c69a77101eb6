"""One verb of the command line a file.

May import anything below. Click and rich are loaded here and nowhere else.
"""

import gc

# A command loads thousands of objects and keeps them: looking for garbage among them again and again finds none.
gc.set_threshold(50_000, 20, 50)
