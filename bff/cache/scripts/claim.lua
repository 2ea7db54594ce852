-- Lead the flight of a key, or be told when the one who leads has ended.
-- KEYS: 1 lock, 2 clock of the space, 3 fence of the container, 4 mark that the owner is gone.
-- ARGV: 1 owner, 2 stamp of the claimer's load, 3 lease in ms, 4 inbox of the claimer's process,
-- 5 whether somebody waits ('1'), 6 owner whose landing the claimer has looked for,
-- 7 message to whoever waits for an owner that is overtaken, 8 message to an owner that is waited
-- for. Returns {'lead'}, {'landed', owner} or {'wait', owner, ms left of the lease}.
local lock = KEYS[1]
-- On its way here it was passed by its own release: nobody would renew what it takes.
if redis.call('EXISTS', KEYS[4]) == 1 then return { 'lead' } end
local held = redis.call('HMGET', lock, 'owner', 'stamp', 'landed', 'urgent', 'inbox')
local owner, since = held[1], tonumber(held[2])

-- A caller that came after an invalidation joins no flight from before it. Of equal stamps there
-- was none in between; a claimer from before the holder may have what the holder brings.
local function overtaken()
  if tonumber(ARGV[2]) <= since then return false end
  local bumped = tonumber(redis.call('HGET', KEYS[2], 'bumped'))
  local fence = tonumber(redis.call('GET', KEYS[3]))
  return not bumped or bumped >= since or (fence and fence >= since)
end

local waiting = {}
if owner and since then
  if overtaken() then
    for _, field in ipairs(redis.call('HKEYS', lock)) do
      if string.sub(field, 1, 2) == 'w:' then waiting[#waiting + 1] = string.sub(field, 3) end
    end
  elseif held[3] then
    if owner ~= ARGV[6] then return { 'landed', owner } end
  else
    redis.call('HSET', lock, 'w:' .. ARGV[4], '1')
    if ARGV[5] == '1' and held[4] ~= '1' then
      redis.call('HSET', lock, 'urgent', '1')
      redis.call('PUBLISH', held[5], ARGV[8])
    end
    return { 'wait', owner, redis.call('PTTL', lock) }
  end
end

redis.call('DEL', lock)
redis.call('HSET', lock, 'owner', ARGV[1], 'stamp', ARGV[2], 'urgent', ARGV[5], 'inbox', ARGV[4])
redis.call('PEXPIRE', lock, ARGV[3])
for _, inbox in ipairs(waiting) do redis.call('PUBLISH', inbox, ARGV[7]) end
return { 'lead' }
