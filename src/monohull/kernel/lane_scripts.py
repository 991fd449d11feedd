"""What `lane` has Redis do in one step, each with its keys in their order."""

from __future__ import annotations

from typing import Final

RETURN: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('LREM', KEYS[2], 1, KEYS[1]) > 0 then
    redis.call('SET', KEYS[1], ARGV[2])
    redis.call('ZADD', KEYS[4], 0, KEYS[1])
    redis.call('LPUSH', KEYS[3], KEYS[1])
    return 1
end
return 0
"""
"""Put a job of a dead worker back to the front, if it is as it was: its id, active, queued, incomplete."""

ADD: Final = """
for at = 3, #KEYS do
    if redis.call('ZADD', KEYS[1], 'NX', 0, KEYS[at]) == 1 then
        redis.call('SET', KEYS[at], ARGV[at - 2])
        redis.call('RPUSH', KEYS[2], KEYS[at])
    end
end
"""
"""Put messages behind the others, those left out that are there: incomplete, queued, and their ids."""
ADD_ONE: Final = """
if redis.call('ZADD', KEYS[1], 'NX', ARGV[2], KEYS[3]) == 0 then
    return 0
end
redis.call('SET', KEYS[3], ARGV[1])
if ARGV[2] == '0' then
    redis.call('RPUSH', KEYS[2], KEYS[3])
end
return 1
"""
"""Put one message behind the others, or keep it until a unix time; one that is there stays: as `ADD`."""
AGAIN: Final = """
redis.call('LREM', KEYS[1], 1, KEYS[4])
redis.call('LREM', KEYS[2], 1, KEYS[4])
redis.call('ZADD', KEYS[3], ARGV[2], KEYS[4])
redis.call('SET', KEYS[4], ARGV[1])
if ARGV[3] ~= '' then
    redis.call('RPUSH', KEYS[2], KEYS[4])
end
"""
"""Have a message come again: active, queued, incomplete, id; when it is due, and whether it waits in line."""
END: Final = """
redis.call('LREM', KEYS[1], 1, KEYS[3])
redis.call('ZREM', KEYS[2], KEYS[3])
local seconds = tonumber(ARGV[2])
if seconds < 0 then
    redis.call('DEL', KEYS[3])
elseif seconds == 0 then
    redis.call('SET', KEYS[3], ARGV[1])
else
    redis.call('SET', KEYS[3], ARGV[1], 'EX', seconds)
end
"""
"""Take a message off the lists; it is kept for seconds, 0 for ever, below it not: active, incomplete, id."""
TAKE: Final = """
local found = {redis.call('GET', KEYS[3]) or ''}
for _ = 1, tonumber(ARGV[1]) do
    local id = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
    if not id then
        break
    end
    found[#found + 1] = redis.call('GET', id) or ''
end
return found
"""
"""Return the message that was fetched and so many more that wait: queued, active, its id."""
