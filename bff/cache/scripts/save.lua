-- Save fields of one container, unless anything they depend on was invalidated since the fetch.
-- KEYS: 1 clock of the space, 2 container, 3 fence of the container.
-- ARGV: 1 prefix of generations, 2 stamp of the fetch, 3 ttl in ms, 4 tags separated by spaces,
-- 5 most fields of a container, then pairs of field and value. Returns 1 if saved.
local bumped = redis.call('HGET', KEYS[1], 'bumped')
if not tonumber(bumped) then return 0 end
local stamp = tonumber(ARGV[2])
local fence = tonumber(redis.call('GET', KEYS[3]))
if fence and fence >= stamp then return 0 end

local missing = {}
for tag in string.gmatch(ARGV[4], '%S+') do
  local generation = tonumber(redis.call('GET', ARGV[1] .. tag))
  if not generation then
    missing[#missing + 1] = tag
  elseif generation >= stamp then
    return 0
  end
end
-- A generation that is missing may have been bumped since the stamp and then evicted; the clock
-- tells whether any at all was bumped since.
if #missing > 0 and tonumber(bumped) >= stamp then return 0 end

-- Saves keep a container alive whole, so the variants of one that is always in use would pile up.
-- Any of them goes, so that nobody can choose what others lose, nor take all of it at once.
for i = 6, #ARGV, 2 do
  local held = redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1
  if not held and redis.call('HLEN', KEYS[2]) + (i - 6) / 2 >= tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[2], redis.call('HRANDFIELD', KEYS[2], 1)[1])
  end
end
-- The fields first: a server that is full refuses a script at its first write, and only there.
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
for _, tag in ipairs(missing) do redis.call('SET', ARGV[1] .. tag, bumped) end
local ttl = tonumber(ARGV[3])
local function keep(key)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
for tag in string.gmatch(ARGV[4], '%S+') do keep(ARGV[1] .. tag) end
keep(KEYS[2])
return 1
