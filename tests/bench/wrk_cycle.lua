-- Many tokens in turn, over and over. Args: a file with a token and what it asks for on each line.
local requests, number = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local token, target = string.match(line, '^(%S+) (%S*)$')
    wrk.headers['Authorization'] = 'Bearer ' .. token
    requests[#requests + 1] = wrk.format('GET', target)
  end
end

function request()
  number = number % #requests + 1
  return requests[number]
end
