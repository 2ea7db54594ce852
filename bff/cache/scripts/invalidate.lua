-- Drop by tag, for stored values and for fetches under way, and tell every process.
-- KEYS: 1 clock of the space, 2 registry of processes. ARGV: 1 base of names, 2 fence ttl in ms,
-- 3 channel, 4 message, 5 oldest heartbeat of a live process (ms before now), 6 proof field,
-- then tags. Returns {stamp, live process, ...}.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now / 1000)
local last = tonumber(redis.call('HGET', KEYS[1], 'last'))
if last and now <= last then now = last + 1 end
local stamp = string.format('%.0f', now)
local fence_ms = tonumber(ARGV[2])
local base = ARGV[1]
local bumps = false

-- A server that is full refuses a script at its first write, and only if that write may need
-- memory. What is invalid must go in any case, so the first write is one that needs none.
redis.call('DEL', base .. 'none')

for i = 7, #ARGV do
  local tag = ARGV[i]
  local kind = string.sub(tag, 1, 2)
  if kind == 'k:' or kind == 'p:' or kind == 'c:' then
    local label = tag
    if kind == 'p:' then
      label = 'k:' .. string.sub(tag, 3)
      redis.call('HDEL', base .. label, ARGV[6])
    else
      redis.call('DEL', base .. label)
    end
    redis.call('SET', base .. 'f:' .. label, stamp, 'PX', fence_ms)
  end
  if kind ~= 'k:' and kind ~= 'p:' then
    bumps = true
    local name = base .. 'g:' .. tag
    local ttl = redis.call('PTTL', name)
    if ttl < fence_ms then ttl = fence_ms end
    redis.call('SET', name, stamp, 'PX', ttl)
  end
end
redis.call('HSET', KEYS[1], 'last', stamp)
if bumps then
  redis.call('HSET', KEYS[1], 'bumped', stamp)
else
  -- Refused tokens, which anybody can invent, bump nothing: they must not keep others' fetches
  -- from being stored.
  redis.call('HSETNX', KEYS[1], 'bumped', stamp)
end
redis.call('PUBLISH', ARGV[3], ARGV[4])

local out = { stamp }
local live = redis.call('ZRANGEBYSCORE', KEYS[2], now_ms - tonumber(ARGV[5]), '+inf')
for _, process in ipairs(live) do out[#out + 1] = process end
return out
