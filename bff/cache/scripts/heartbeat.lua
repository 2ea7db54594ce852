-- A process says that it lives, over the channel on which it hears of invalidations.
-- KEYS[1] registry of processes. ARGV: 1 process, 2 its channel, 3 message, 4 forget after (ms).
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - tonumber(ARGV[4]))
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
