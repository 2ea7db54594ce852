-- Values of several containers, each checked against the generations of its tags.
-- KEYS[1] clock of the space; KEYS[i] containers. ARGV[1] prefix of generations; ARGV[i] fields.
-- Returns {stamp, value or nil, ...}. The stamp is greater than every invalidation so far and not
-- greater than any to come.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = redis.call('GET', KEYS[1])
if not last then
  -- A lost clock (first use, eviction): whatever was invalidated before is older than now.
  redis.call('SET', KEYS[1], string.format('%.0f', now))
  last = now
end
last = tonumber(last)
if now <= last then now = last + 1 end

local out = { string.format('%.0f', now) }
for i = 2, #KEYS do
  local value = redis.call('HGET', KEYS[i], ARGV[i])
  out[i] = false
  if value then
    local born, tags = string.match(value, '^(%d+) ([^\n]*)\n')
    if born then
      local valid = true
      born = tonumber(born)
      for tag in string.gmatch(tags, '%S+') do
        local generation = redis.call('GET', ARGV[1] .. tag)
        -- A missing generation may have been evicted: it proves nothing, so the value is not used.
        if not generation or tonumber(generation) >= born then
          valid = false
          break
        end
      end
      if valid then out[i] = value end
    end
  end
end
return out
