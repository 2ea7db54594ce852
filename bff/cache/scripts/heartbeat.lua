-- A process says that it lives, over the channel on which it hears of invalidations.
-- KEYS[1] registry of processes. ARGV: 1 process, 2 forget after (ms), 3 its channel, 4 message;
-- without the last two it is registered only.
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- First, since a server that is full lets it pass, and then what follows.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms), ARGV[1])
if ARGV[3] then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
