"""Budgets in Redis or Valkey, shared by all gateways of a deployment: one script each to reserve, settle and expire.

All of it lies in one slot (`{budgets}`), since a call may be paid from several accounts at once. A server that is lost
refuses reservations (nothing is overspent); settlements wait for it, in order. What was spent lasts as long as the
server's data: one that loses them begins every budget anew, so give it `appendonly yes`, or keep budgets in PostgreSQL.
Amounts are exact up to 2^53 units (nine million dollars).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hapenny.admission.budgets import KEPT_S, BudgetVerdict, Charge, OnSpent, Spent, Standing, unheard
from hapenny.core.clock import Clock
from hapenny.stores.redis_line import Command, RedisLine

_COMMON = """
local base = KEYS[1]
local function whole(number) return string.format('%.0f', number) end
local function sum(key, first)
  local total, pairs_ = 0, redis.call('HGETALL', key)
  for i = 1, #pairs_, 2 do
    if tonumber(pairs_[i]) >= first then total = total + tonumber(pairs_[i + 1]) end
  end
  return total
end
local function charges(id)
  local out = {}
  local fields = redis.call('HGETALL', base .. ':open:' .. id)
  for i = 1, #fields, 2 do
    if fields[i] ~= 'dies' and fields[i] ~= 'lapsed' then
      local p = cjson.decode(fields[i + 1])
      out[#out + 1] = {fields[i], p[1], p[2], p[3]}
    end
  end
  return out
end
local function give_back(id)
  for _, c in ipairs(charges(id)) do
    local held = base .. ':held:' .. c[2]
    if redis.call('HINCRBY', held, c[4]['s'], whole(-c[4]['a'])) <= 0 then redis.call('HDEL', held, c[4]['s']) end
  end
end
local function expire(now, kept)
  local count = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. ':dies', '-inf', now, 'LIMIT', 0, 500)) do
    give_back(id)
    redis.call('HSET', base .. ':open:' .. id, 'lapsed', 1)
    redis.call('ZREM', base .. ':dies', id)
    redis.call('ZADD', base .. ':lapsed', redis.call('HGET', base .. ':open:' .. id, 'dies'), id)
    count = count + 1
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. ':lapsed', '-inf', now - kept, 'LIMIT', 0, 500)) do
    redis.call('DEL', base .. ':open:' .. id)
    redis.call('ZREM', base .. ':lapsed', id)
  end
  return count
end
"""
# KEYS: base. ARGV: now, kept, id, dies, then account, first, slice, limit, amount each.
_RESERVE = (
    _COMMON
    + """
local now = tonumber(ARGV[1])
expire(now, tonumber(ARGV[2]))
local spent, held = 0, 0
for i = 5, #ARGV, 5 do
  local s = sum(base .. ':spent:' .. ARGV[i], tonumber(ARGV[i + 1]))
  local h = sum(base .. ':held:' .. ARGV[i], tonumber(ARGV[i + 1]))
  if i == 5 then
    spent, held = s, h
    if redis.call('EXISTS', base .. ':open:' .. ARGV[3]) == 1 then return {'-1', whole(s), whole(h)} end
  end
  if s + h + tonumber(ARGV[i + 4]) > tonumber(ARGV[i + 3]) then
    return {whole((i - 5) / 5), whole(s), whole(h)}
  end
end
local open = base .. ':open:' .. ARGV[3]
redis.call('HSET', open, 'dies', ARGV[4])
for i = 5, #ARGV, 5 do
  redis.call('HINCRBY', base .. ':held:' .. ARGV[i], ARGV[i + 2], ARGV[i + 4])
  redis.call('HSET', open, tostring((i - 5) / 5),
    cjson.encode({ARGV[i], ARGV[i + 1], {s = ARGV[i + 2], a = ARGV[i + 4]}}))
end
redis.call('ZADD', base .. ':dies', ARGV[4], ARGV[3])
return {'-1', whole(spent), whole(held)}
"""
)
# KEYS: base. ARGV: id, whether anything was spent, then account and amount each.
_SETTLE = (
    _COMMON
    + """
local id, out = ARGV[1], {}
local open = base .. ':open:' .. id
if redis.call('EXISTS', open) == 0 then return out end
if redis.call('HGET', open, 'lapsed') ~= '1' then give_back(id) end
local amounts = {}
for i = 3, #ARGV, 2 do amounts[ARGV[i]] = ARGV[i + 1] end
if ARGV[2] == '1' then
  local all = charges(id)
  table.sort(all, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
  for _, c in ipairs(all) do
    local account, first, slice = c[2], tonumber(c[3]), c[4]['s']
    local amount = amounts[account] or c[4]['a']
    if tonumber(amount) > 0 then
      local spent = base .. ':spent:' .. account
      for _, old in ipairs(redis.call('HKEYS', spent)) do
        if tonumber(old) < first then redis.call('HDEL', spent, old) end
      end
      local before = sum(spent, first)
      redis.call('HINCRBY', spent, slice, amount)
      out[#out + 1] = account
      out[#out + 1] = slice
      out[#out + 1] = whole(before)
      out[#out + 1] = whole(before + tonumber(amount))
    end
  end
end
redis.call('DEL', open)
redis.call('ZREM', base .. ':dies', id)
redis.call('ZREM', base .. ':lapsed', id)
return out
"""
)
# KEYS: base. ARGV: now, kept, account, first.
_STANDING = (
    _COMMON
    + """
expire(tonumber(ARGV[1]), tonumber(ARGV[2]))
return {whole(sum(base .. ':spent:' .. ARGV[3], tonumber(ARGV[4]))),
  whole(sum(base .. ':held:' .. ARGV[3], tonumber(ARGV[4])))}
"""
)
# KEYS: base. ARGV: now, kept.
_EXPIRE = _COMMON + "return expire(tonumber(ARGV[1]), tonumber(ARGV[2]))\n"


class RedisBudgets:
    """See the module.

    Args:
        url: redis:// or rediss://.
        clock: the deployment's clock.
        prefix: of all keys.
    """

    def __init__(self, url: str, clock: Clock, *, prefix: str = "hapenny:") -> None:
        self._line = RedisLine(url, clock, "store of budgets", f"{prefix}probe")
        self._keys = (f"{prefix}{{budgets}}",)
        self.on_spent: OnSpent = unheard

    async def reserve(self, id: str, charges: Sequence[Charge], now: int, dies: int) -> BudgetVerdict:
        """One round trip."""
        arguments: list[Any] = [now, KEPT_S, id, dies]
        for charge in charges:
            arguments += [charge.account, charge.first, charge.slice, charge.limit, charge.amount]
        undo = self._settlement(id, None)
        refused, spent, held = await self._line.ask(Command(_RESERVE, self._keys, tuple(arguments)), undo)
        return BudgetVerdict(int(refused), Standing(int(spent), int(held)))

    def settle(self, id: str, amounts: Mapping[str, int] | None) -> None:
        self._line.post(self._settlement(id, amounts), self._grown)

    async def standing(self, account: str, first: int, now: int) -> Standing:
        spent, held = await self._line.ask(Command(_STANDING, self._keys, (now, KEPT_S, account, first)))
        return Standing(int(spent), int(held))

    async def expire(self, now: int) -> int:
        return int(await self._line.ask(Command(_EXPIRE, self._keys, (now, KEPT_S))))

    async def aclose(self) -> None:
        await self._line.aclose()

    def _settlement(self, id: str, amounts: Mapping[str, int] | None) -> Command:
        arguments: list[Any] = [id, 0 if amounts is None else 1]
        for account, amount in (amounts or {}).items():
            arguments += [account, amount]
        return Command(_SETTLE, self._keys, tuple(arguments))

    def _grown(self, reply: Any) -> None:
        values = iter(reply)
        for account, slice, before, after in zip(values, values, values, values, strict=True):
            self.on_spent(Spent(account.decode(), int(slice), int(before), int(after)))
