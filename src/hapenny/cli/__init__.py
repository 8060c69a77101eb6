"""One verb of the command line a file.

May import anything below. Click and rich are loaded here and nowhere else.
"""
