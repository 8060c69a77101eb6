"""Models: capabilities, prices and limits as dated data, and the one `price()`.

May import core.
"""
