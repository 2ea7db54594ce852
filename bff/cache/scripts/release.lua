-- The owner's flight has ended: tell all who wait. KEYS: 1 lock, 2 mark that the owner is gone.
-- ARGV: 1 owner, 2 message, 3 how long to remember that a document was stored (ms; 0: none was),
-- 4 how long its claim may still be on its way here (ms; 0: it was answered).
-- Returns {1} if the lock was the owner's.
local lock = KEYS[1]
local held = redis.call('HMGET', lock, 'owner', 'landed', 'stamp')
if held[1] ~= ARGV[1] or held[2] then
  if tonumber(ARGV[4]) > 0 then redis.call('SET', KEYS[2], '1', 'PX', ARGV[4]) end
  return { 0 }
end
local fields = redis.call('HKEYS', lock)
-- First, since a server that is full lets it pass, and then what follows.
redis.call('DEL', lock)
if tonumber(ARGV[3]) > 0 then
  -- Whoever looked just before the document was stored, and claims only now, is sent to look again.
  redis.call('HSET', lock, 'owner', ARGV[1], 'stamp', held[3], 'landed', '1')
  redis.call('PEXPIRE', lock, ARGV[3])
end
for _, field in ipairs(fields) do
  if string.sub(field, 1, 2) == 'w:' then
    redis.call('PUBLISH', string.sub(field, 3), ARGV[2])
  end
end
return { 1 }
