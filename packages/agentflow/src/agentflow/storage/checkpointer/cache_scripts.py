"""The Lua that Redis runs: a thread's lock and cached state, each call one round trip.

KEYS are always lock, state, messages. `state` is a hash: `f` the format, `n` thread_no, `h` head,
`p` next_pos, `c` number of messages, `b` the fields as JSON, and `t` the thread_no of a life that was
deleted. `messages` is a list with one JSON row a message, so that a turn sends what it added and not what
was there. Versions stand beside the bodies: no script parses one.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = b"1"

# ARGV token, lease ms -> {1, [f n h p c b], rows} with the lock, or {0, ms it is held for}.
# What is not of the right type reads as nothing. A lock without an end is none of ours: nobody would free it.
BEGIN: Final = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local left = redis.call('PTTL', KEYS[1])
  if left ~= -1 then return {0, left} end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local state = redis.pcall('HMGET', KEYS[2], 'f', 'n', 'h', 'p', 'c', 'b')
if state.err or not state[1] then return {1, {}, {}} end
local rows = redis.pcall('LRANGE', KEYS[3], 0, -1)
if rows.err then return {1, {}, {}} end
return {1, state, rows}
"""

# ARGV token, lease ms -> 1 held on, 0 somebody else has it.
# A lock that was evicted or flushed, and is free, is taken again.
EXTEND: Final = """
local holder = redis.pcall('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""

_RELEASE: Final = "if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end\n"

# ARGV token, ttl ms, thread_no, head, next_pos, fields, number of messages, base head, base messages, rows...
# With a base head of -1 the rows are all of them; else those after the base, and if that is not what is
# cached nothing happens -> 0: send all. An older version never replaces a newer one of the same life, and
# nothing replaces the mark that a life was deleted.
PUBLISH: Final = (
    """
local old = redis.pcall('HMGET', KEYS[2], 'n', 'h', 't', 'f')
if old.err then
  redis.call('DEL', KEYS[2])
  old = {false, false, false, false}
end
local same_life = old[1] == ARGV[3]
local newer = same_life and (tonumber(old[2]) or 0) > tonumber(ARGV[4])
if old[3] ~= ARGV[3] and not newer then
  if ARGV[8] == '-1' then
    redis.call('DEL', KEYS[3])
  else
    local length = redis.pcall('LLEN', KEYS[3])
    local is_base = same_life and old[4] == '1' and old[2] == ARGV[8] and length == tonumber(ARGV[9])
    if not is_base then return 0 end
  end
  for first = 10, #ARGV, 1000 do
    redis.call('RPUSH', KEYS[3], unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
  redis.call('HSET', KEYS[2], 'f', '1', 'n', ARGV[3], 'h', ARGV[4], 'p', ARGV[5], 'b', ARGV[6], 'c', ARGV[7])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
end
"""
    + _RELEASE
    + "return 1"
)

# ARGV token, 1 to drop the state too (but never the mark of a deletion).
RELEASE: Final = (
    """
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[3])
  local gone = redis.pcall('HDEL', KEYS[2], 'f', 'n', 'h', 'p', 'c', 'b')
  if type(gone) == 'table' then redis.call('DEL', KEYS[2]) end
end
"""
    + _RELEASE
    + "return 1"
)

# ARGV thread_no, ttl ms: forget the state and leave word that this life is over, so that a publish which
# was under way cannot bring it back.
BURY: Final = """
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[2], 't', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
