-- What operators want. KEYS: 1 controls. ARGV: 1 name, 2 value. Returns all of them, flat.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
