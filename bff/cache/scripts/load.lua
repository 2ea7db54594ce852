-- Values of several containers, each checked against the generations of its tags.
-- KEYS[1] clock of the space; KEYS[i] containers. ARGV[1] prefix of generations; ARGV[i] fields.
-- Returns {stamp, value or nil, ...}. The stamp is greater than every invalidation so far and not
-- greater than any to come: it is one past the last of them, and never the time of day, so that a
-- wall clock that steps back cannot put an invalidation before a fetch that it came after.
local last = tonumber(redis.call('HGET', KEYS[1], 'last'))
if not last then
  -- A lost clock (first use, eviction, restart) begins at the time of day: past all that it
  -- counted, unless the time of day was set back by more than the clock was old.
  local time = redis.call('TIME')
  last = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local seed = string.format('%.0f', last)
  redis.call('DEL', KEYS[1])  -- so that a server that is full lets the next one pass
  redis.call('HSET', KEYS[1], 'last', seed, 'bumped', seed)
end

local function usable(value)
  local born, tags = string.match(value, '^(%d+) ([^\n]*)\n')
  born = tonumber(born)
  if not born then return false end
  local names = {}
  for tag in string.gmatch(tags, '%S+') do names[#names + 1] = ARGV[1] .. tag end
  if #names == 0 then return true end
  for _, generation in ipairs(redis.call('MGET', unpack(names))) do
    -- A missing generation may have been evicted: it proves nothing, so the value is not used.
    generation = tonumber(generation)
    if not generation or generation >= born then return false end
  end
  return true
end

local out = { string.format('%.0f', last + 1) }
for i = 2, #KEYS do
  local value = redis.call('HGET', KEYS[i], ARGV[i])
  out[i] = value and usable(value) and value
end
return out
