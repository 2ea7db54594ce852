-- Many tokens, each used once. Args: a file with a token and what it asks for on each line; 'together'
-- if its calls are made at the same time; how many milliseconds pass between requests at most.
-- Tells, of each whole answer, the milliseconds that the gateway says were not Nexudus': all but its
-- calls or, where they are made at the same time, but the longer one.
local asked, number, added, partial = {}, 0, {}, 0
local threads, together, pause_ms = {}, false, 0

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  for line in io.lines(args[1]) do
    local token, target = string.match(line, '^(%S+) (%S*)$')
    wrk.headers['Authorization'] = 'Bearer ' .. token
    asked[#asked + 1] = wrk.format('GET', target)
  end
  together = args[2] == 'together'
  pause_ms = tonumber(args[3])
end

-- A constant latency would keep all that began at the same moment in step for ever, as people are
-- not: each waits a moment of its own.
function delay()
  return math.random(0, pause_ms)
end

function request()
  number = number + 1
  if number > #asked then
    wrk.thread:stop()
    number = #asked
  end
  return asked[number]
end

function response(status, headers)
  if headers['bff-complete'] then partial = partial + 1 end
  local spent = {}
  for name, ms in string.gmatch(headers['server-timing'] or '', '(%w+);dur=([%d.]+)') do
    spent[name] = tonumber(ms)
  end
  if status == 200 and spent.profiles and spent.related then
    local calls = spent.profiles + spent.related
    if together then calls = math.max(spent.profiles, spent.related) end
    added[#added + 1] = spent.total - calls
  end
  told = table.concat(added, ' ')
  missing = partial
end

function done()
  for _, thread in ipairs(threads) do
    print('told added: ' .. (thread:get('told') or ''))
    print('told partial: ' .. (thread:get('missing') or 0))
  end
end
