-- Save fields of one container, unless anything they depend on was invalidated since the fetch.
-- KEYS: 1 clock of the space, 2 container, 3 fence of the container, 4 lock of the flight, if any.
-- ARGV: 1 prefix of generations in the clock, 2 stamp of the fetch, 3 ttl in ms, 4 tags separated by spaces,
-- 5 most fields of a container, 6-8 of the lock: owner, message, how long to remember it (see unlock.lua),
-- then pairs of field and value. Returns 1 if saved; the lock is released only then.
local FIRST = 9
local bumped, told, floor = unpack(redis.call('HMGET', KEYS[1], 'bumped', 'told', 'floor'))
bumped = tonumber(bumped)
if not bumped then return 0 end
local stamp = tonumber(ARGV[2])
local fence = tonumber(redis.call('GET', KEYS[3]))
if fence and fence >= stamp then return 0 end

if stamp <= bumped then
  -- Of what was bumped up to the floor nothing is known; nor of what only another version knows.
  if tonumber(told) ~= bumped or stamp <= (tonumber(floor) or bumped) then return 0 end
  for tag in string.gmatch(ARGV[4], '%S+') do
    local generation = redis.call('HGET', KEYS[1], ARGV[1] .. tag)
    if generation and (tonumber(generation) or stamp) >= stamp then return 0 end
  end
end

-- Saves keep a container alive whole, so the variants of one that is always in use would pile up.
-- Any of them goes, so that nobody can choose what others lose, nor take all of it at once.
for i = FIRST, #ARGV, 2 do
  local held = redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1
  if not held and redis.call('HLEN', KEYS[2]) + (i - FIRST) / 2 >= tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[2], redis.call('HRANDFIELD', KEYS[2], 1)[1])
  end
end
-- The fields first: a server that is full refuses a script at its first write, and only there.
for i = FIRST, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
local ttl = tonumber(ARGV[3])
if redis.call('PTTL', KEYS[2]) < ttl then redis.call('PEXPIRE', KEYS[2], ttl) end
if KEYS[4] then unlock(KEYS[4], ARGV[6], ARGV[7], tonumber(ARGV[8])) end
return 1
