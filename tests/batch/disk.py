"""A disk that is full, and one that damages what it holds."""

import contextlib
import resource

from tests.log_lines import log_lines


@contextlib.contextmanager
def full(path):
    """Files grow no further than `path` has: what is written behind that is cut off and then refused."""
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 7, hard))
    try:
        with log_lines():  # standard error may be a file, too
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def damage(path, needle, offset=0):
    """Another byte where `needle` stands first."""
    data = bytearray(path.read_bytes())
    at = data.index(needle) + offset
    data[at] ^= 0x55
    path.write_bytes(data)
