-- Lead the flight of a key without a look before, if there is nothing to look at.
-- KEYS: 1 lock, 2 clock of the space, 3 mark that the owner is gone, 4 lock of another flight (this
-- one's, if there is none), then containers.
-- ARGV: 1 owner, 2 lease in ms, 3 inbox of its process, 4 inbox of the process that has to hold the
-- other lock (empty: nobody has to), then a field of each container.
-- Returns {stamp}, as of load.lua, or {}: another leads or has led, something is stored (whether it
-- may be used is not asked here), the other lock is not held as it has to be, the clock has yet to
-- begin, or its own release passed it on its way.
if ARGV[4] ~= '' and redis.call('HGET', KEYS[4], 'inbox') ~= ARGV[4] then return {} end
local last, bumped = unpack(redis.call('HMGET', KEYS[2], 'last', 'bumped'))
if not tonumber(last) or not bumped or redis.call('EXISTS', KEYS[1], KEYS[3]) > 0 then return {} end
for i = 5, #KEYS do
  if redis.call('HEXISTS', KEYS[i], ARGV[i]) == 1 then return {} end
end
local stamp = string.format('%.0f', tonumber(last) + 1)
redis.call('DEL', KEYS[1])  -- a server that is full lets it pass, and then what follows
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'stamp', stamp, 'urgent', '1', 'inbox', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { stamp }
