-- One process says what it counted and how it is, and hears what operators want.
-- KEYS: 1 live processes by time (ms), 2 their records, 3 what was heard of them, 4 controls,
-- 5 questions by time, 6 events, 7 problems, then minutes, then answers.
-- ARGV: 1 process, 2 number of this telling, 3 record, 4 ms that figures are kept, 5 ms after which a
-- silent process is forgotten, 6 ms that questions and answers stand, 7 most events, 8 most problems,
-- 9 number of minutes, 10 of answers, 11 of items, then: records of minutes, answers,
-- (number, e or p, text) of items in threes, (name, value) of controls in twos.
-- Returns {1 if this process was known, controls, questions}.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
local function wished(wish)
  local ok, found = pcall(cjson.decode, wish)
  return ok and type(found) == 'table' and type(found.at) == 'number' and found.at or 0
end
local process, telling = ARGV[1], tonumber(ARGV[2])
local minutes, answers, items = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

local heard = redis.call('HMGET', KEYS[3], process, process .. '#')
local known = heard[1] and 1 or 0
-- A telling that nobody waits for any more may come after the next one, of which it is a part.
if telling > tonumber(heard[1] or 0) then
  redis.call('ZADD', KEYS[1], text(now), process)
  redis.call('HSET', KEYS[2], process, ARGV[3])
  local at, key = 12, 8
  for _ = 1, minutes do
    redis.call('HSET', KEYS[key], process, ARGV[at], 'v', time[1] .. '.' .. time[2])
    redis.call('PEXPIRE', KEYS[key], ARGV[4])
    at, key = at + 1, key + 1
  end
  for _ = 1, answers do
    redis.call('SET', KEYS[key], ARGV[at], 'PX', ARGV[6])
    at, key = at + 1, key + 1
  end
  local last = tonumber(heard[2] or 0)
  for _ = 1, items do
    local number = tonumber(ARGV[at])
    if number > last then
      local events = ARGV[at + 1] == 'e'
      redis.call('XADD', events and KEYS[6] or KEYS[7], 'MAXLEN', events and ARGV[7] or ARGV[8],
        '*', 'd', ARGV[at + 2])
      last = number
    end
    at = at + 3
  end
  redis.call('HSET', KEYS[3], process, text(telling), process .. '#', text(last))
  -- What operators wanted outlives a store that has lost it, but never undoes a later wish.
  for i = at, #ARGV, 2 do
    local stored = redis.call('HGET', KEYS[4], ARGV[i])
    if not stored or wished(ARGV[i + 1]) > wished(stored) then
      redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1])
    end
  end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now - tonumber(ARGV[5])))) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('HDEL', KEYS[2], gone)
    redis.call('HDEL', KEYS[3], gone, gone .. '#')
  end
  for _, kept in ipairs({ 1, 2, 3, 6, 7 }) do redis.call('PEXPIRE', KEYS[kept], ARGV[4]) end
end
local since = text(now - tonumber(ARGV[6]))
return { known, redis.call('HGETALL', KEYS[4]), redis.call('ZRANGEBYSCORE', KEYS[5], since, '+inf') }
