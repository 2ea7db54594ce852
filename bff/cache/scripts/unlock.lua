-- The flight of a lock's owner has ended: tell all who wait. Before scripts that end one.
-- `remembered_ms`: for how long that a document was stored (0: none was). Returns whether the lock
-- was the owner's.
local function unlock(lock, owner, message, remembered_ms)
  local held = redis.call('HMGET', lock, 'owner', 'landed', 'stamp')
  if held[1] ~= owner or held[2] then return false end
  local fields = redis.call('HKEYS', lock)
  -- First, since a server that is full lets it pass, and then what follows.
  redis.call('DEL', lock)
  if remembered_ms > 0 then
    -- Whoever looked just before the document was stored, and claims only now, is sent to look again.
    redis.call('HSET', lock, 'owner', owner, 'stamp', held[3], 'landed', '1')
    redis.call('PEXPIRE', lock, remembered_ms)
  end
  for _, field in ipairs(fields) do
    if string.sub(field, 1, 2) == 'w:' then
      redis.call('PUBLISH', string.sub(field, 3), message)
    end
  end
  return true
end
