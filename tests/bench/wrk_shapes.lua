-- Another shape with each request, and none twice: some of so many names, picked by the bits of a
-- number that goes through all of them in an order of its own. Args: names, where to begin.
local ODD = 11400715
local names, number, size = {}, 0, 1

function init(args)
  for name in string.gmatch(args[1], '[^,]+') do
    names[#names + 1] = name
    size = size * 2
  end
  number = tonumber(args[2])
end

function request()
  number = number + 1
  local left, picked = (number * ODD) % size, {}
  for i = 1, #names do
    if left % 2 == 1 then picked[#picked + 1] = names[i] end
    left = math.floor(left / 2)
  end
  return wrk.format('GET', wrk.path .. '?_shape=' .. table.concat(picked, ','))
end
