-- The accounts of one space: what was granted, until when it is paused, who waits.
-- Everything is in one hash, so that it is lost as a whole or not at all; a new one has a new epoch.
-- KEYS: 1 accounts, 2 live processes, 3 those where somebody INTERACTIVE waits, 4 FORWARDED.
-- ARGV: 1 process, 2 priority that asks (-1: none does), 3 whether it writes, 4 ms it would wait,
-- 5 and 6 other reads that wait there INTERACTIVE and FORWARDED, 7 ms that it has been without,
-- 8 epoch it knows, 9 epoch that its seeds are for, 10 ms of pause it saw, 11 factor (thousandths)
-- after that, 12 the time (ms) after which nobody waits for the answer, 13 number of windows; then
-- for each window its name, whether it is of writes, ms of a bucket (0: spacing), of the window, of
-- its margin, calls, share (thousandths), and how many it had counted of the epoch that it knows;
-- then (window, 1 if a seed, ms ago, calls) in fours.
-- Returns {0 wait | 1 granted | 2 use your share, ms to wait, whether only writes wait, ms of
-- pause, factor, ms until settled, epoch, now, (used, ever counted) of each window, processes...};
-- only {3, now} if nobody waits for it.
local YOUNG, SETTLE, BLINK, LIVE, KEEP = 2500, 1000, 100, 12000, 90000000
local RECALL, GRACE, YIELD, FLOOR, REGAINED, STEP = 1000, 250, 100, 100, 50 / 60000, 5000

local process, priority, write = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local count = tonumber(ARGV[13])
local function text(number) return string.format('%.0f', number) end

local names = { 'epoch', 'last', 'settled', 'pause', 'factor', 'since', 'from' }
local windows = {}
for i = 1, count do
  local at = 14 + (i - 1) * 8
  local name = ARGV[at]
  windows[i] = {
    name = name, writes = ARGV[at + 1] == '1', bucket = tonumber(ARGV[at + 2]),
    length = tonumber(ARGV[at + 3]), margin = tonumber(ARGV[at + 4]),
    calls = tonumber(ARGV[at + 5]), share = tonumber(ARGV[at + 6]), known = tonumber(ARGV[at + 7]),
  }
  names[#names + 1] = name
  names[#names + 1] = name .. '#'
  names[#names + 1] = name .. '+'
  names[#names + 1] = name .. '@'
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(ARGV[12]) > 0 and now > tonumber(ARGV[12]) then
  return { 3, text(now) } -- A server that hung answers late: what is told here is told again.
end
local got = redis.call('HMGET', KEYS[1], unpack(names))
if got[1] and tonumber(got[2] or 0) > now + STEP then
  redis.call('DEL', KEYS[1]) -- The server's clock was put back: nothing here would ever end.
  got = {}
end
local epoch, last = got[1], tonumber(got[2] or now)
if last > now then now = last end
local settled, pause = tonumber(got[3] or 0), tonumber(got[4] or 0)
local factor, since = tonumber(got[5] or 1000), tonumber(got[6] or 0)
local from = got[7] or ''
local away = tonumber(ARGV[7])
if not epoch then
  epoch = text(now) .. '-' .. process
  if ARGV[8] ~= '' or away > 0 then settled = now + YOUNG end
elseif (away > BLINK and now - last > away) or (from == '' and ARGV[9] == epoch) then
  -- Nobody was here: others may have used their shares and not have said so yet.
  settled = math.max(settled, now + SETTLE)
end

-- What was seen of Nexudus. The highest pause and the lowest factor of all who saw it count.
factor = math.min(1000, factor + REGAINED * math.max(0, now - since))
factor = math.max(FLOOR, math.min(factor, tonumber(ARGV[11])))
if tonumber(ARGV[10]) > 0 then pause = math.max(pause, now + tonumber(ARGV[10])) end
since = math.max(now, pause)

for i, w in ipairs(windows) do
  local at = 8 + (i - 1) * 4
  w.entries, w.used, w.ever = got[at] or '', tonumber(got[at + 1] or 0), tonumber(got[at + 2] or 0)
  w.seeded = tonumber(got[at + 3] or -1)
  w.keep = w.length + w.margin
  if w.bucket == 0 then w.keep = math.ceil(w.length * 1000 / factor) + w.margin end
  local head = 1
  while true do
    local ends, calls, after = string.match(w.entries, '^(%d+):(%d+) ()', head)
    if not ends or now < tonumber(ends) + w.keep then break end
    w.used, head = w.used - tonumber(calls), after
  end
  w.entries = string.sub(w.entries, head)
end

local function bucket_end(w, at)
  if w.bucket == 0 then return at + 1 end
  return (math.floor(at / w.bucket) + 1) * w.bucket
end

local function insert(w, ends, calls)
  local sums, order = {}, {}
  for e, c in string.gmatch(w.entries, '(%d+):(%d+) ') do
    sums[#sums + 1] = { tonumber(e), tonumber(c) }
  end
  local placed = false
  for _, pair in ipairs(sums) do
    if pair[1] == ends then pair[2], placed = pair[2] + calls, true end
  end
  if not placed then sums[#sums + 1] = { ends, calls } end
  table.sort(sums, function(a, b) return a[1] < b[1] end)
  for i, pair in ipairs(sums) do order[i] = text(pair[1]) .. ':' .. text(pair[2]) .. ' ' end
  w.entries = table.concat(order)
end

local function account(w, ago, calls)
  w.ever = w.ever + calls
  local ends = bucket_end(w, now - ago)
  if calls > 0 and now < ends + w.keep then
    w.used = w.used + calls
    insert(w, ends, calls)
  end
end

-- Seeds of one lost epoch: whoever had counted most of it knows most, the others know a part.
local seeds, seeding = ARGV[9] == epoch, {}
for at = 14 + count * 8, #ARGV, 4 do
  local i, is_seed = tonumber(ARGV[at]), ARGV[at + 1] == '1'
  local w, ago, calls = windows[i], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if not is_seed or (seeds and (w.seeded < 0 or from ~= ARGV[8])) then account(w, ago, calls) end
end
if seeds then
  for _, w in ipairs(windows) do
    if w.seeded >= 0 and from == ARGV[8] and w.known > w.seeded then
      account(w, 0, w.known - w.seeded)
    end
    if from == ARGV[8] then w.seeded = math.max(w.seeded, w.known) else w.seeded = w.known end
  end
  from = ARGV[8]
end

-- First what a full server lets pass, and then what follows.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now - LIVE))
redis.call('ZADD', KEYS[2], text(now), process)
redis.call('PEXPIRE', KEYS[2], LIVE)
local live = redis.call('ZRANGE', KEYS[2], 0, -1)

local status, wait, by_calls, by_writes, yields = 0, 0, 0, 0, false
for _, w in ipairs(windows) do
  local allowed = 1
  if w.bucket > 0 then
    allowed = math.max(1, math.floor(w.calls * w.share * factor / 1000000))
  end
  local leaving = w.used + 1 - allowed
  if leaving > 0 and (write or not w.writes) then
    for ends, calls in string.gmatch(w.entries, '(%d+):(%d+) ') do
      leaving = leaving - tonumber(calls)
      if leaving <= 0 then
        local needed = tonumber(ends) + w.keep - now
        if w.writes then by_writes = math.max(by_writes, needed)
        else by_calls = math.max(by_calls, needed) end
        break
      end
    end
  end
end
by_calls = math.max(by_calls, pause - now)
wait = math.max(by_calls, by_writes)
if settled > now then
  if pause <= now then status, wait = 2, 0 end
elseif wait <= 0 and priority >= 0 then
  for higher = 0, math.min(priority, 2) - 1 do
    local key = KEYS[3 + higher]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
    local others = redis.call('ZCARD', key)
    if others > 0 and redis.call('ZSCORE', key, process) then others = others - 1 end
    if others > 0 then yields = true end
  end
  if yields then wait = YIELD else status = 1 end
end

if status == 1 then
  for _, w in ipairs(windows) do
    if write or not w.writes then
      local ends = text(bucket_end(w, now))
      local before, calls = string.match(w.entries, '^(.*)' .. ends .. ':(%d+) $')
      if before then w.entries = before .. ends .. ':' .. text(tonumber(calls) + 1) .. ' '
      else w.entries = w.entries .. ends .. ':1 ' end
      w.used, w.ever = w.used + 1, w.ever + 1
    end
  end
end

-- Lower priorities of other processes yield to those who wait here, for a short time only.
if priority >= 0 and status ~= 2 then
  for p = 0, 1 do
    local waiting = tonumber(ARGV[5 + p])
    local denied = status == 0 and (yields or by_writes <= by_calls)
    if p == priority and denied and wait <= tonumber(ARGV[4]) then waiting = waiting + 1 end
    if waiting > 0 then
      redis.call('ZADD', KEYS[3 + p], text(now + math.min(wait, RECALL) + GRACE), process)
      redis.call('PEXPIRE', KEYS[3 + p], RECALL + GRACE)
    else
      redis.call('ZREM', KEYS[3 + p], process)
    end
  end
end

local kept = {
  'epoch', epoch, 'last', text(now), 'settled', text(settled), 'pause', text(pause),
  'factor', string.format('%.6f', factor), 'since', text(since), 'from', from,
}
local out = {
  status, math.ceil(math.max(0, wait)), (by_writes > by_calls and not yields) and 1 or 0,
  math.max(0, pause - now), math.floor(factor), math.max(0, settled - now), epoch, text(now),
}
for _, w in ipairs(windows) do
  for suffix, value in pairs({ [''] = w.entries, ['#'] = text(w.used), ['+'] = text(w.ever) }) do
    kept[#kept + 1] = w.name .. suffix
    kept[#kept + 1] = value
  end
  if w.seeded >= 0 then
    kept[#kept + 1] = w.name .. '@'
    kept[#kept + 1] = text(w.seeded)
  end
  out[#out + 1] = w.used
  out[#out + 1] = w.ever
end
redis.call('HSET', KEYS[1], unpack(kept))
redis.call('PEXPIRE', KEYS[1], KEEP)
for _, name in ipairs(live) do out[#out + 1] = name end
return out
