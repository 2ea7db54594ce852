-- Save fields of one container, unless anything they depend on was invalidated since the fetch.
-- KEYS: 1 clock of the space, 2 container, 3 fence of the container.
-- ARGV: 1 prefix of generations, 2 stamp of the fetch, 3 ttl in ms, 4 tags separated by spaces,
-- then pairs of field and value. Returns 1 if saved.
local clock = redis.call('GET', KEYS[1])
if not clock then return 0 end
local stamp = tonumber(ARGV[2])
local fence = redis.call('GET', KEYS[3])
if fence and tonumber(fence) >= stamp then return 0 end

local missing = {}
for tag in string.gmatch(ARGV[4], '%S+') do
  local generation = redis.call('GET', ARGV[1] .. tag)
  if generation then
    if tonumber(generation) >= stamp then return 0 end
  else
    missing[#missing + 1] = tag
  end
end
-- A generation that is missing may have been bumped since the stamp and then evicted; the clock
-- tells whether anything at all was invalidated since.
if #missing > 0 and tonumber(clock) >= stamp then return 0 end
for _, tag in ipairs(missing) do redis.call('SET', ARGV[1] .. tag, clock) end

local ttl = tonumber(ARGV[3])
local function keep(key)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
for tag in string.gmatch(ARGV[4], '%S+') do keep(ARGV[1] .. tag) end
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
keep(KEYS[2])
return 1
