"""The intent of a request: as sent, else a hashed-feature classifier, else `unknown`.

May import counting and everything below it.
"""
