"""The Lua that Redis runs for quotas: a call checks everything it is asked for, then takes all or nothing.

A tenant's keys share a hash tag. In order:

rate      when the tenant's next request is due (GCRA), in microseconds, and those of one then: doubles
key_rate  the same for the credential
runs      sorted set: token of each run under way -> when its lease ends, in milliseconds; NEW is added for
          those that may make a thread, so that they are counted by their range
used      hash: threads, bytes, t<day> tokens, c<day> checkpoints; seeded, once Postgres was asked

`used` counts up from nothing from the moment it is found missing, and the seed adds what Postgres knows:
what is spent between the two is counted, in the worst case twice, never not at all. A seed names the count
that it was asked for: one that was forgotten and begun anew meanwhile does not take an older answer. It ends
after a while and is seeded anew, and at once when a run's lease ran out: nobody said what that run had spent.
"""

from typing import Final

_CLOCK: Final = """
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local day = math.floor(time[1] / 86400)
local NEW = 1e15
"""

# ARGV the limits as big-endian doubles, -1 for none: microseconds a request and capacity, of the tenant
# and of the key, then runs, threads, bytes, tokens and checkpoints; then, with all keys, for a run: token
# ('': it begins later, needs no place and holds nothing), lease ms, 1 if it may make a thread, ms that `used`
# lives -> {what, retry after ms, left and ms until it is all there again of requests and of key requests,
# then of a run what is left of each, the ms until the day ends}. `what` is 0 when all was taken, -1 when
# `used` must be seeded first (what it was begun as stands in place of the ms), else the number of the quota
# that takes longest to have room again. What is not limited has -1 left.
TAKE: Final = (
    _CLOCK
    + """
local interval, capacity, key_interval, key_capacity, most_runs, most_threads, most_bytes, most_tokens,
  most_checkpoints = struct.unpack('>ddddddddd', ARGV[1])
local token, lease, makes = ARGV[2], ARGV[3], ARGV[4] == '1'

local function arrive(held, interval, capacity)
  if interval < 0 then return nil, -1, 0, 0 end
  local due = now_us
  if held then
    local at, was = struct.unpack('>dd', held)
    -- As many requests behind as it was, also at a rate that changed meanwhile.
    if math.abs(was - interval) > 1e-6 * interval then at = now_us + (at - now_us) / was * interval end
    if at > due then due = at end
  end
  local wait = due + interval * (1 - capacity) - now_us
  if wait > 0 or capacity == 0 then
    return nil, 0, math.ceil((due - now_us) / 1000), math.max(1, math.ceil(wait / 1000))
  end
  due = due + interval
  return due, math.floor((now_us - due) / interval + capacity), math.ceil((due - now_us) / 1000), 0
end

local held = redis.call('MGET', KEYS[1], KEYS[2])
local due, left, reset, wait = arrive(held[1], interval, capacity)
local key_due, key_left, key_reset, key_wait = arrive(held[2], key_interval, key_capacity)
if wait > 0 or key_wait > 0 then
  -- One that has room keeps it.
  if due then left, reset = left + 1, reset - math.ceil(interval / 1000) end
  if key_due then key_left, key_reset = key_left + 1, key_reset - math.ceil(key_interval / 1000) end
  if wait >= key_wait then return {1, wait, left, reset, key_left, key_reset} end
  return {2, key_wait, left, reset, key_left, key_reset}
end
local answer = {0, 0, left, reset, key_left, key_reset}

if KEYS[4] then
  local runs, used = KEYS[3], KEYS[4]
  local taken, reserved = redis.call('ZCARD', runs), 0
  if taken > 0 then
    local lost = redis.call('ZREMRANGEBYSCORE', runs, '-inf', now_ms)
      + redis.call('ZREMRANGEBYSCORE', runs, NEW, NEW + now_ms)
    if lost > 0 then
      taken = taken - lost
      redis.call('DEL', used)
    end
  end
  local spends = most_threads >= 0 or most_bytes >= 0 or most_tokens >= 0 or most_checkpoints >= 0
  local spent = {false, false, false, false, false}
  if spends then
    spent = redis.call('HMGET', used, 'seeded', 'threads', 'bytes', 't' .. day, 'c' .. day)
    if not spent[1] then
      redis.call('HSETNX', used, 'begun', string.format('%.0f', now_us))
      local begun = tonumber(redis.call('HGET', used, 'begun'))
      redis.call('PEXPIRE', used, ARGV[5])
      return {-1, begun, left, reset, key_left, key_reset}
    end
  end
  local until_day = 86400000 - now_ms % 86400000
  local refused, retry = 0, 0
  local function check(number, limit, taken, wants, after)
    if limit < 0 then
      answer[#answer + 1] = -1
      return
    end
    local free = limit - taken
    if free < wants and after > retry then refused, retry = number, after end
    answer[#answer + 1] = math.max(0, free)
  end
  check(3, most_runs, taken, token == '' and -math.huge or 1, 1000)
  local reserves = most_threads >= 0 and makes
  if reserves and taken > 0 then reserved = redis.call('ZCOUNT', runs, NEW, '+inf') end
  check(4, most_threads, (tonumber(spent[2]) or 0) + reserved, makes and 1 or 0, 60000)
  check(5, most_bytes, tonumber(spent[3]) or 0, 1, 60000)
  check(6, most_tokens, tonumber(spent[4]) or 0, 1, until_day)
  check(7, most_checkpoints, tonumber(spent[5]) or 0, 1, until_day)
  answer[#answer + 1] = until_day
  if refused > 0 then
    answer[1], answer[2] = refused, retry
    if left >= 0 then answer[3] = left + 1 end
    if key_left >= 0 then answer[5] = key_left + 1 end
    return answer
  end
  if token ~= '' then
    if answer[7] > 0 then answer[7] = answer[7] - 1 end
    if answer[8] > 0 and reserves then answer[8] = answer[8] - 1 end
    redis.call('ZADD', runs, now_ms + lease + (reserves and NEW or 0), token)
    redis.call('PEXPIRE', runs, lease * 20)
  end
end
local function keep(key, at, interval, ms)
  if at then redis.call('SET', key, struct.pack('>dd', at, interval), 'PX', ms + 1) end
end
keep(KEYS[1], due, interval, reset)
keep(KEYS[2], key_due, key_interval, key_reset)
return answer
"""
)

# KEYS runs, used. ARGV token, lease ms (0: the run is over), 1 while it may make a thread; spent
# since the last call: threads, bytes, tokens, checkpoints -> what is used: threads, bytes, tokens and
# checkpoints of today; {} when that is to be seeded.
SPEND: Final = (
    _CLOCK
    + """
local runs, used = KEYS[1], KEYS[2]
if ARGV[2] == '0' then
  redis.call('ZREM', runs, ARGV[1])
else
  redis.call('ZADD', runs, now_ms + ARGV[2] + (ARGV[3] == '1' and NEW or 0), ARGV[1])
  redis.call('PEXPIRE', runs, ARGV[2] * 20)
end
if redis.call('EXISTS', used) == 0 then return {} end
local fields = {'threads', 'bytes', 't' .. day, 'c' .. day}
for i = 1, 4 do
  if ARGV[3 + i] ~= '0' then redis.call('HINCRBY', used, fields[i], ARGV[3 + i]) end
end
if redis.call('HEXISTS', used, 'seeded') == 0 then return {} end
local spent = redis.call('HMGET', used, unpack(fields))
for i = 1, 4 do spent[i] = tonumber(spent[i]) or 0 end
return spent
"""
)

# KEYS used. ARGV what Postgres knows: threads, bytes, the day, its tokens, its checkpoints; ms to keep it;
# what it was begun as when Postgres was asked -> 1 if it was added, 0 if somebody else did, or began anew.
SEED: Final = """
if redis.call('HGET', KEYS[1], 'begun') ~= ARGV[7] then return 0 end
if redis.call('HSETNX', KEYS[1], 'seeded', 1) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'threads', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[2])
redis.call('HINCRBY', KEYS[1], 't' .. ARGV[3], ARGV[4])
redis.call('HINCRBY', KEYS[1], 'c' .. ARGV[3], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1
"""

# Whether anything is answered, and scripts are.
PING: Final = "return 1"

# KEYS used: Postgres is asked anew.
FORGET: Final = "return redis.call('DEL', KEYS[1])"
