-- What all processes said, as far as the reader does not know it yet. Changes nothing.
-- KEYS: 1 live processes by time (ms), 2 their records, 3 events, 4 problems, then minutes.
-- ARGV: 1 ms after which a silent process is forgotten, 2 last event that is known, 3 last problem,
-- 4 most bytes of minutes, then for each minute the version that is known.
-- Returns {(process, ms since it said something, record) in threes, (id, text) of events in twos, the
-- same of problems, (minute's number here, version, record...) of minutes that changed, 1 if there is more}.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local since = string.format('%.0f', now - tonumber(ARGV[1]))
local said = {}
local live = redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf', 'WITHSCORES')
for i = 1, #live, 2 do
  local record = redis.call('HGET', KEYS[2], live[i])
  if record then
    said[#said + 1] = live[i]
    said[#said + 1] = math.max(0, now - tonumber(live[i + 1]))
    said[#said + 1] = record
  end
end

local function after(key, last)
  local found = {}
  for _, entry in ipairs(redis.call('XRANGE', key, '(' .. last, '+')) do
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
  end
  return found
end

local changed, bytes, more = {}, 0, 0
for i = 5, #KEYS do
  local version = redis.call('HGET', KEYS[i], 'v') or ''
  if version ~= ARGV[i] then
    if bytes >= tonumber(ARGV[4]) then more = 1 break end
    local minute = { i - 5, version }
    local all = redis.call('HGETALL', KEYS[i])
    for j = 1, #all, 2 do
      if all[j] ~= 'v' then
        minute[#minute + 1] = all[j + 1]
        bytes = bytes + #all[j + 1]
      end
    end
    changed[#changed + 1] = minute
  end
end
return { said, after(KEYS[3], ARGV[2]), after(KEYS[4], ARGV[3]), changed, more }
