-- The owner's flight has ended (see unlock.lua). KEYS: 1 lock, 2 mark that the owner is gone.
-- ARGV: 1 owner, 2 message, 3 how long to remember that a document was stored (ms; 0: none was),
-- 4 how long its claim may still be on its way here (ms; 0: it was answered).
-- Returns {1} if the lock was the owner's.
if unlock(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])) then return { 1 } end
if tonumber(ARGV[4]) > 0 then redis.call('SET', KEYS[2], '1', 'PX', ARGV[4]) end
return { 0 }
