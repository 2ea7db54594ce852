-- What is stored for some documents, and what is known of the tags that drop them. Only reads.
-- KEYS: 1 clock of the space, 2 prefix of generations, then containers. ARGV: fields.
-- Returns {last stamp or nil, then for each document: value or nil, ms that its container has to
-- live, the generation of each of its tags in their order, or `-` where there is none}.
local out = { redis.call('HGET', KEYS[1], 'last') }

local function generations(value)
  local found = {}
  for tag in string.gmatch(string.match(value, '^%d+ ([^\n]*)\n') or '', '%S+') do
    found[#found + 1] = redis.call('GET', KEYS[2] .. tag) or '-'
  end
  return table.concat(found, ' ')
end

for i = 3, #KEYS do
  local value = redis.call('HGET', KEYS[i], ARGV[i - 2])
  out[#out + 1] = value
  out[#out + 1] = redis.call('PTTL', KEYS[i])
  out[#out + 1] = value and generations(value) or ''
end
return out
