-- Drop by tag, for stored values and for fetches under way, and tell every process.
-- KEYS: 1 clock of the space, 2 registry of processes. ARGV: 1 base of names, 2 fence ttl in ms,
-- 3 channel, 4 message, 5 oldest heartbeat of a live process (ms before now), 6 proof field,
-- then tags. The message is a JSON object, at whose end the two stamps are put that it returns:
-- {stamp, what load.lua would have returned before, live process, ...}.
local MOST = 8192  -- generations of a space: less than a megabyte
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now / 1000)
local last, bumped, told, floor, past =
  unpack(redis.call('HMGET', KEYS[1], 'last', 'bumped', 'told', 'floor', 'past'))
last, bumped, floor = tonumber(last), tonumber(bumped), tonumber(floor)
local before = string.format('%.0f', (last or now) + 1)
if last and now <= last then now = last + 1 end
local stamp = string.format('%.0f', now)
local fence_ms = tonumber(ARGV[2])
local base = ARGV[1]
local bumps = {}

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
    bumps[#bumps + 1] = tag
    redis.call('DEL', base .. 'g:' .. tag)  -- where versions before this one look for it
  end
end
redis.call('HSET', KEYS[1], 'last', stamp)
if not bumped then
  -- A new clock: nothing that was before it is used any more.
  redis.call('HSET', KEYS[1], 'bumped', stamp, 'told', stamp, 'floor', stamp)
elseif #bumps > 0 then
  -- What another version bumped it has not told here: it may have been anything.
  if tonumber(told) ~= bumped or not floor then floor = bumped end
  redis.call('HSET', KEYS[1], 'bumped', stamp, 'told', stamp, 'floor', string.format('%.0f', floor))
end
-- Refused tokens, which anybody can invent, bump nothing: they must not keep others' fetches from
-- being stored.
for _, tag in ipairs(bumps) do redis.call('HSET', KEYS[1], 'g:' .. tag, stamp) end

-- Of so many, some old ones are forgotten for those that came, and with them whatever is not younger:
-- of a few that are picked at random the oldest quarter, so that nobody waits for all to be sorted.
if redis.call('HLEN', KEYS[1]) > MOST then
  local old, picked = {}, redis.call('HRANDFIELD', KEYS[1], 4 * #bumps + 16, 'WITHVALUES')
  for i = 1, #picked, 2 do
    if string.sub(picked[i], 1, 2) == 'g:' then
      old[#old + 1] = { name = picked[i], stamp = tonumber(picked[i + 1]) or now }
    end
  end
  table.sort(old, function(one, other) return one.stamp < other.stamp end)
  floor = floor or 0
  for i = 1, math.ceil(#old / 4) do
    redis.call('HDEL', KEYS[1], old[i].name)
    floor = math.max(floor, old[i].stamp)
  end
  redis.call('HSET', KEYS[1], 'floor', string.format('%.0f', floor))
end

-- Who did not hear of it may ask later (see load.lua) between which stamps none was given. When these
-- are too many, which anybody can bring about, the longest of the last minutes are kept: of those
-- that are longer than the minutes divided by their number, there are no more.
local MINUTES, KEPT = 5 * 60 * 1000000, 64
if last and now - last > 2 then
  past = (past or '') .. before .. ' ' .. stamp .. '\n'
  if #past > 2 * KEPT * (#before + #stamp + 2) then
    local steps, kept = {}, {}
    for from, to in string.gmatch(past, '(%d+) (%d+)\n') do
      from, to = tonumber(from), tonumber(to)
      if to > now - MINUTES then steps[#steps + 1] = { from = from, to = to } end
    end
    table.sort(steps, function(one, other) return one.to - one.from > other.to - other.from end)
    for i = 1, math.min(#steps, KEPT) do
      kept[i] = string.format('%.0f %.0f\n', steps[i].from, steps[i].to)
    end
    past = table.concat(kept)
  end
  redis.call('HSET', KEYS[1], 'past', past)
end
local seen = ',"before":' .. before .. ',"stamp":' .. stamp .. '}'
redis.call('PUBLISH', ARGV[3], string.sub(ARGV[4], 1, -2) .. seen)

local out = { stamp, before }
local live = redis.call('ZRANGEBYSCORE', KEYS[2], now_ms - tonumber(ARGV[5]), '+inf')
for _, process in ipairs(live) do out[#out + 1] = process end
return out
