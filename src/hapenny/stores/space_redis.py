"""The shared space in Redis or Valkey: one script each to look, keep, let go, renew, tell and hear.

A key's value and its lease share a slot (`{…}`), news are a stream of their own; so it works behind a cluster's proxy,
too. Times are the server's. Everything goes over one `RedisLine`: in order, in batches, each with a deadline, and a
lost server is known at once and gone on with when it is back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.stores.redis_line import Command, RedisLine
from hapenny.stores.space import MOST_BYTES, MOST_NEWS, PAGE, Heard, Message, Seen

_NOW = """
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
"""
# KEYS: value, lease. ARGV: holder, lease and `after` in milliseconds. A value begins with when it was put there.
LOOK = (
    _NOW
    + """
local value = redis.call('GET', KEYS[1])
local now = string.format('%013d', now_ms())
if value and tonumber(string.sub(value, 1, 13)) > tonumber(ARGV[3]) then return {value, now, 0} end
if ARGV[1] == '' then return {'', now, 0} end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {'', now, 0} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'', now, 1}
"""
)
# KEYS: value, lease. ARGV: holder, value, life in milliseconds (0: nothing is kept).
KEEP = (
    _NOW
    + """
if ARGV[3] ~= '0' then
  redis.call('SET', KEYS[1], string.format('%013d', now_ms()) .. ARGV[2], 'PX', ARGV[3])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
"""
)
# KEYS: lease. ARGV: holder, lease in milliseconds.
RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# KEYS: stream, what has left it. ARGV: data, most.
TELL = """
local id = redis.call('XADD', KEYS[1], '*', 'd', ARGV[1])
if redis.call('XLEN', KEYS[1]) > tonumber(ARGV[2]) then
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  redis.call('XDEL', KEYS[1], first)
  redis.call('SET', KEYS[2], first)
end
return id
"""
# KEYS: stream, what has left it. ARGV: after, count.
HEARD = """
local from = '-'
if ARGV[1] ~= '' then from = '(' .. ARGV[1] end
local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[2])
local out = {redis.call('GET', KEYS[2]) or '', ''}
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if first then out[2] = first[1] end
for _, item in ipairs(found) do
  out[#out + 1] = item[1]
  out[#out + 1] = item[2][2]
end
return out
"""


class RedisSpace:
    """`Space` in a Redis or Valkey.

    Args:
        url: redis:// or rediss://.
        clock: the deployment's.
        prefix: of all keys: separates deployments that share a server.
    """

    def __init__(self, url: str, clock: Clock, *, prefix: str = "hapenny:") -> None:
        self._prefix = prefix
        self._line = RedisLine(url, clock, "shared store of answers", f"{prefix}probe")

    @property
    def guards(self) -> Sequence[Guard]:
        return (self._line.guard,)

    async def look(self, key: str, holder: str = "", lease_s: float = 0.0, after: float = 0.0) -> Seen:
        """One round trip."""
        arguments = (holder, _milliseconds(lease_s), round(after * 1000))
        value, now, mine = await self._line.ask(Command(LOOK, self._keys(key), arguments))
        at = int(now) / 1000
        if not value:
            return Seen(None, 0.0, at, bool(mine))
        return Seen(value[13:], int(value[:13]) / 1000, at, False)

    def keep(self, key: str, holder: str, value: bytes, life_s: float) -> None:
        life = _milliseconds(life_s) if len(value) <= MOST_BYTES and life_s > 0 else 0
        self._line.post(Command(KEEP, self._keys(key), (holder, value if life else b"", life)))

    def let_go(self, key: str, holder: str) -> None:
        self._line.post(Command(KEEP, self._keys(key), (holder, b"", 0)))

    def renew(self, key: str, holder: str, lease_s: float) -> None:
        self._line.post(Command(RENEW, self._keys(key)[1:], (holder, _milliseconds(lease_s))))

    async def tell(self, data: bytes, channel: str = "news") -> float:
        return _at(await self._line.ask(Command(TELL, self._streams(channel), (data, MOST_NEWS))))

    async def heard(self, after: str = "", channel: str = "news") -> Heard:
        left, first, *pairs = await self._line.ask(Command(HEARD, self._streams(channel), (after, PAGE)))
        messages = [Message(id.decode(), _at(id), data) for id, data in zip(pairs[::2], pairs[1::2], strict=True)]
        missed = bool(left) and (not after or _order(after.encode()) < _order(left))
        return Heard(messages, _at(first) if left and first else 0.0, missed)

    async def aclose(self) -> None:
        await self._line.aclose()

    def _streams(self, channel: str) -> tuple[str, str]:
        name = f"{self._prefix}{{{channel}}}"
        return name, f"{name}:left"

    def _keys(self, key: str) -> tuple[str, str]:
        name = f"{self._prefix}{{a:{key}}}"
        return name, f"{name}:lease"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _at(id: Any) -> float:
    return _order(id)[0] / 1000


def _order(id: bytes) -> tuple[int, int]:
    at, _, number = id.partition(b"-")
    return int(at), int(number or 0)
