-- Many tokens, each used once. Args: a file with a token and what it asks for on each line; 'together'
-- if its calls are made at the same time; 'apart' or 'burst' (see delay); and so many milliseconds.
-- Tells, of each whole answer, the milliseconds that the gateway says were not Nexudus': all but its
-- calls or, where they are made at the same time, but the longer one.
local asked, number, added, partial = {}, 0, {}, 0
local threads, together, burst, first, pause_ms, cycle_ms = {}, false, false, 0, 0, 0

local ffi = require('ffi')
ffi.cdef('typedef struct { long s, us; } moment; int gettimeofday(moment *, void *);')
local now = ffi.new('moment')

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
  burst = args[3] == 'burst'
  cycle_ms, pause_ms, first = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
end

-- Apart, each connection begins somewhere in the cycle of an answer and a pause, and waits a moment of
-- its own after each answer: a constant latency would keep all that began together in step for ever,
-- as people are not. In a burst all begin at the same moment, once in a cycle.
function delay()
  if burst then
    ffi.C.gettimeofday(now, nil)
    return cycle_ms - (tonumber(now.s) * 1000 + tonumber(now.us) / 1000) % cycle_ms
  end
  first = first - 1
  return math.random(0, first < 0 and pause_ms or cycle_ms)
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
