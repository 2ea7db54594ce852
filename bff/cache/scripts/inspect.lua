-- What is stored for some documents, and what is known of the tags that drop them. Only reads.
-- KEYS: 1 clock of the space, then containers. ARGV: fields, from the second on.
-- Returns {last stamp or nil, then for each document: value or nil, ms that its container has to
-- live, the generation of each of its tags in their order: 0 where there was none since the
-- document, `-` where that is not known}.
local last, bumped, told, floor =
  unpack(redis.call('HMGET', KEYS[1], 'last', 'bumped', 'told', 'floor'))
local out = { last }
last, floor = tonumber(last), tonumber(told == bumped and floor) or tonumber(bumped)

local function generations(value)
  local born, tags = string.match(value, '^(%d+) ([^\n]*)\n')
  born = tonumber(born) or 0
  local found, lost = {}, not last or not floor or born <= floor or born > last + 1
  for tag in string.gmatch(tags or '', '%S+') do
    local known = redis.call('HGET', KEYS[1], 'g:' .. tag)
    if lost and (not known or (tonumber(known) or born) < born) then known = '-' end
    found[#found + 1] = known or '0'
  end
  return table.concat(found, ' ')
end

for i = 2, #KEYS do
  local value = redis.call('HGET', KEYS[i], ARGV[i])
  out[#out + 1] = value
  out[#out + 1] = redis.call('PTTL', KEYS[i])
  out[#out + 1] = value and generations(value) or ''
end
return out
