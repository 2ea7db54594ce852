-- Another token with each request, each used once: args are a file of tokens and how many to use.
-- Prints, of what the gateway says of itself, the milliseconds that are not Nexudus'.
local tokens, number, added = {}, 0, {}
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local most = tonumber(args[2])
  for line in io.lines(args[1]) do
    tokens[#tokens + 1] = line
    if #tokens == most then break end
  end
end

function request()
  number = number + 1
  if number > #tokens then
    wrk.thread:stop()
    number = #tokens
  end
  return wrk.format('GET', nil, { ['Authorization'] = 'Bearer ' .. tokens[number] })
end

function response(status, headers)
  local spent = {}
  for name, ms in string.gmatch(headers['server-timing'] or '', '(%w+);dur=([%d.]+)') do
    spent[name] = tonumber(ms)
  end
  if status == 200 and spent.profiles and spent.related then
    added[#added + 1] = spent.total - spent.profiles - spent.related
  end
  told = table.concat(added, ' ')
end

function done()
  for _, thread in ipairs(threads) do print('told: ' .. (thread:get('told') or '')) end
end
