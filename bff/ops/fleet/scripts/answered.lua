-- The answer to a question, if there is one. KEYS: 1 answer, 2 questions. ARGV: 1 question.
-- Returns {answer} or {}.
local answer = redis.call('GET', KEYS[1])
if not answer then return {} end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
return { answer }
