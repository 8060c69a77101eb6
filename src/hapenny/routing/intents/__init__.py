"""The intent of a request: as sent, else a hashed-feature classifier, else `unknown`.

Imports nothing of the house.
"""
