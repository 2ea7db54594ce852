-- Calls of one script that were made together, each as if it were alone: `one` is that script.
-- ARGV: 1 of each call how many keys and arguments it has, and the bytes of each argument, 2 the
-- arguments of all, one after another. Returns the answer to each: an error is its own call's.
local numbers, key, byte, place, answers = string.gmatch(ARGV[1], '%d+'), 0, 1, 0, {}
for count in numbers do
  local keys, args = {}, {}
  for i = 1, tonumber(count) do keys[i] = KEYS[key + i] end
  key = key + #keys
  for i = 1, tonumber(numbers()) do
    local to = byte + tonumber(numbers())
    args[i], byte = string.sub(ARGV[2], byte, to - 1), to
  end
  local done, answer = pcall(one, keys, args)
  if not done then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or tostring(answer))
  end
  if answer == nil then answer = false end  -- no answer keeps its place: what follows is others'
  place = place + 1
  answers[place] = answer
end
return answers
