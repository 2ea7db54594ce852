-- The flights of some locks go on. KEYS: locks. ARGV: 1 lease in ms, then their owners.
-- Returns for each: 0 it is another's now, 1 renewed, 2 renewed and somebody waits for it.
local out = {}
for i, lock in ipairs(KEYS) do
  local held = redis.call('HMGET', lock, 'owner', 'landed', 'urgent')
  if held[1] ~= ARGV[i + 1] or held[2] then
    out[i] = 0
  else
    redis.call('PEXPIRE', lock, ARGV[1])
    out[i] = held[3] == '1' and 2 or 1
  end
end
return out
