-- Another shape with each request: some of the names of a profile, counted through.
local names, number = {}, 0

function init(args)
  for name in string.gmatch(args[1], '[^,]+') do names[#names + 1] = name end
end

function request()
  number = number + 1
  local left, picked = number, {}
  for i = 1, #names do
    if left % 2 == 1 then picked[#picked + 1] = names[i] end
    left = math.floor(left / 2)
  end
  return wrk.format('GET', wrk.path .. '?_shape=' .. table.concat(picked, ','))
end
