"""The Lua that Redis runs: a thread's lock and cached state, each call one round trip.

KEYS are always lock, state. `state` is a list. Its first element is the header, `2 thread_no head next_pos
messages`, with the thread_no of a life deleted before behind it, if any; or `x thread_no`, the mark of a
deletion, with nothing else in the list. The second element is the fields; then come chunks of messages, so
that a turn sends what it added and not what was there. The version stands in the header, outside the
bodies: no script reads one.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = b"2"

# ARGV token, lease ms, "thread_no head" that the caller has -> {0, ms it is held for}, or with the lock {1}
# when nothing is cached, {1, header} when the caller has it already, {1, {header, fields, chunk...}} else.
# What is not of the right type reads as nothing. A lock without an end, or that is no text, is none of ours:
# nobody would free it.
BEGIN: Final = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local left = redis.call('PTTL', KEYS[1])
  if left ~= -1 and redis.call('TYPE', KEYS[1]).ok == 'string' then return {0, left} end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local header = redis.pcall('LINDEX', KEYS[2], 0)
if type(header) ~= 'string' or string.sub(header, 1, 2) ~= '2 ' then return {1} end
if ARGV[3] ~= '' and string.sub(header, 3, 3 + #ARGV[3]) == ARGV[3] .. ' ' then return {1, header} end
return {1, redis.call('LRANGE', KEYS[2], 0, -1)}
"""

# ARGV token, lease ms -> 1 held on, 0 somebody else has it.
# A lock that was evicted or flushed, and is free, is taken again; so is one that is none of ours.
EXTEND: Final = """
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'string' and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) ~= -1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_RELEASE: Final = "if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end\n"

# ARGV token, ttl ms, thread_no, head, header, fields, base head, base elements, elements to take off its
# end, chunk... With a base head of -1 the chunks are all of them; else those after the base, and if that is
# not what is cached nothing happens -> 0: send all. An older version never replaces a newer one of the same
# life, and nothing replaces the mark that a life was deleted.
PUBLISH: Final = (
    """
local old = redis.pcall('LINDEX', KEYS[2], 0)
if type(old) ~= 'string' then
  redis.call('DEL', KEYS[2])
  old = ''
end
local kind, life, version = string.match(old, '^(%S+) (%d+) ?(%d*)')
local buried = string.match(old, '^x (%d+)') or string.match(old, '^2 %d+ %d+ %d+ %d+ (%d+)')
local header = buried and (ARGV[5] .. ' ' .. buried) or ARGV[5]
local same_life = life == ARGV[3]
local newer = same_life and kind == '2' and (tonumber(version) or 0) > tonumber(ARGV[4])
if not newer and buried ~= ARGV[3] then
  if ARGV[7] == '-1' then
    redis.call('DEL', KEYS[2])
    redis.call('RPUSH', KEYS[2], header, ARGV[6])
  else
    local is_base = same_life and kind == '2' and version == ARGV[7]
      and redis.call('LLEN', KEYS[2]) == tonumber(ARGV[8])
    if not is_base then return 0 end
    redis.call('LSET', KEYS[2], 0, header)
    redis.call('LSET', KEYS[2], 1, ARGV[6])
    if ARGV[9] ~= '0' then redis.call('LTRIM', KEYS[2], 0, -1 - tonumber(ARGV[9])) end
  end
  for first = 10, #ARGV, 1000 do
    redis.call('RPUSH', KEYS[2], unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
"""
    + _RELEASE
    + "return 1"
)

# ARGV token, 1 to drop the state too (but never the mark of a deletion).
RELEASE: Final = (
    """
if ARGV[2] == '1' then
  local header = redis.pcall('LINDEX', KEYS[2], 0)
  local buried = type(header) == 'string' and string.match(header, '^2 %d+ %d+ %d+ %d+ (%d+)')
  if buried then
    redis.call('LSET', KEYS[2], 0, 'x ' .. buried)
    redis.call('LTRIM', KEYS[2], 0, 0)
  elseif type(header) ~= 'string' or string.sub(header, 1, 2) ~= 'x ' then
    redis.call('DEL', KEYS[2])
  end
end
"""
    + _RELEASE
    + "return 1"
)

# ARGV thread_no, ttl ms: forget the state and leave word that this life is over, so that a publish which
# was under way cannot bring it back.
BURY: Final = """
redis.call('DEL', KEYS[2])
redis.call('RPUSH', KEYS[2], 'x ' .. ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
