-- Values of several containers, each checked against the generations of its tags.
-- KEYS[1] clock of the space; KEYS[i] containers. ARGV[1] prefix of generations in it; ARGV[i] fields;
-- then a stamp that the caller was given before, if any.
-- Returns {stamp, value or nil, ...}. The stamp is greater than every invalidation so far and not
-- greater than any to come: it is one past the last of them, and never the time of day, so that a
-- wall clock that steps back cannot put an invalidation before a fetch that it came after.
local last, bumped, told, floor =
  unpack(redis.call('HMGET', KEYS[1], 'last', 'bumped', 'told', 'floor'))
last, bumped, told, floor = tonumber(last), tonumber(bumped), tonumber(told), tonumber(floor)
if not last or not bumped then
  -- A lost clock (first use, eviction, restart) begins at the time of day: past all that it
  -- counted, unless the time of day was set back by more than the clock was old.
  local time = redis.call('TIME')
  last = math.max(last or 0, tonumber(time[1]) * 1000000 + tonumber(time[2]))
  local seed = string.format('%.0f', last)
  redis.call('DEL', KEYS[1])  -- so that a server that is full lets the next one pass
  redis.call('HSET', KEYS[1], 'last', seed, 'bumped', seed, 'told', seed, 'floor', seed)
  bumped, told, floor = last, last, last
end

-- What the caller knows was given between two invalidations that follow each other here: by what
-- this was before it lost that. The caller is to see that its stamp is less than what it knows.
local known = tonumber(ARGV[#KEYS + 1])
if known and known > 0 and known < last then
  for before, stamp in string.gmatch(redis.call('HGET', KEYS[1], 'past') or '', '(%d+) (%d+)') do
    if tonumber(before) < known and known < tonumber(stamp) then
      local out = { before }
      for i = 2, #KEYS do out[i] = false end
      return out
    end
  end
end

-- Of what was bumped up to the floor nothing is known; nor of what only another version knows.
if told ~= bumped or not floor then floor = bumped end

local ARGUMENTS = 1000  -- Lua hands over no more than some thousands at once

-- Callers that have nothing to do with each other ask together: what is not a container's, or of
-- another form, is absent for who asked for it, and nothing to the others.
local found, names, place = {}, {}, {}
for i = 2, #KEYS do
  local value = redis.pcall('HGET', KEYS[i], ARGV[i])
  local born, tags
  if type(value) == 'string' then born, tags = string.match(value, '^(%d+) ([^\n]*)\n') end
  born = tonumber(born)
  -- What is younger than anything that was asked for here is of a clock that was lost.
  if born and floor < born and born <= last + 1 then
    local depends = {}
    for tag in string.gmatch(born <= bumped and tags or '', '%S+') do
      if not place[tag] then
        names[#names + 1] = ARGV[1] .. tag
        place[tag] = #names
      end
      depends[#depends + 1] = place[tag]
    end
    found[i] = { value = value, born = born, depends = depends }
  end
end

local generations = {}
for first = 1, #names, ARGUMENTS do
  local to = math.min(first + ARGUMENTS - 1, #names)
  for at, generation in ipairs(redis.call('HMGET', KEYS[1], unpack(names, first, to))) do
    generations[first + at - 1] = generation and (tonumber(generation) or math.huge)
  end
end

local function usable(one)
  for _, at in ipairs(one.depends) do
    -- A generation that is missing is none since the floor: a clock is lost as a whole or not.
    if generations[at] and generations[at] >= one.born then return false end
  end
  return true
end

local out = { string.format('%.0f', last + 1) }
for i = 2, #KEYS do
  out[i] = found[i] ~= nil and usable(found[i]) and found[i].value
end
return out
