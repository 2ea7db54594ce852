-- What operators want. KEYS: 1 controls. ARGV: 1 name, 2 the wish, a JSON object. Returns all of
-- them, flat. `at` is by the clock of the store, and always after that of the wish before, so that
-- all processes agree which of two is the later.
local time = redis.call('TIME')
local at = tonumber(time[1]) + tonumber(time[2]) / 1000000
local ok, before = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '')
if ok and type(before) == 'table' and type(before.at) == 'number' then
  at = math.max(at, before.at + 0.001)
end
redis.call('HSET', KEYS[1], ARGV[1], string.sub(ARGV[2], 1, -2) .. string.format(',"at":%.6f}', at))
return redis.call('HGETALL', KEYS[1])
