-- The accounts of one space: what was granted, until when it is paused, who waits. A grant counts
-- as sent HOLD later, the latest that it may be, until its process reports when it was; a stranger's
-- counts as such until it is reported that Nexudus accepted its token.
-- Everything is in one hash, so that it is lost as a whole or not at all; a new one has a new epoch.
-- KEYS: 1 accounts, 2 live processes, 3 to 5 those where somebody waits:
-- INTERACTIVE, STRANGER, FORWARDED.
-- ARGV: 1 process, 2 priority that asks (-1: none does; -2: it leaves), 3 whether it writes, 4 ms it would wait,
-- 5 to 7 other reads that wait there INTERACTIVE, STRANGER and FORWARDED, 8 ms that it has been
-- without, 9 epoch it knows, 10 epoch that its seeds are for, 11 ms of pause it saw, 12 factor
-- (thousandths) after that, 13 stretch of the spacing (thousandths), 14 the time (ms) after which
-- nobody waits for the answer, 15 HOLD, 16 number of windows, 17 of reports, 18 to 21 the share of
-- each priority (thousandths), 22 strangers' own part; then for each window its name, whether it is of writes, ms of a bucket
-- (0: spacing), of the window, of its margin, calls, and how many it had counted of the epoch that it
-- knows; then reports: (time until which the grant was held, 1 if it writes and, if the call was not
-- sent, 2 more for a token that was accepted or 4 more for a place given back, ms since then) in threes; then (window, 1 if a seed, ms ago, calls) in fours.
-- Returns {0 wait | 1 granted | 2 use your share, ms to wait, who does (+1: only writes, +2: only
-- those of no greater share, +4: only strangers), ms of pause (negative: since its end), factor, stretch, ms until settled,
-- ms since the grant before, epoch, now, (used, ever counted) of each window, processes...}; only
-- {3, now} if nobody waits for it.
local YOUNG, SETTLE, BLINK, LIVE, KEEP = 2500, 1000, 100, 12000, 90000000
local RECALL, GRACE, YIELD, FLOOR, STEP = 1000, 250, 100, 100, 5000
local REGAINED, RELAXED, WIDEST, AGAIN = 50 / 30000, 90000, 4000, 30
local ANSWERED, LOOK = 2000, 100

local process, priority, write = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local hold, count, reports = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local SHARES, STRANGER, OWN, FIRST, FIELDS = 18, 1, 22, 23, 7
local function text(number) return string.format('%.0f', number) end

local names = {
  'epoch', 'last', 'settled', 'pause', 'factor', 'since', 'from', 'stretch', 'granted', 'strange',
}
local fixed = #names
local windows = {}
for i = 1, count do
  local at = FIRST + (i - 1) * FIELDS
  local name = ARGV[at]
  windows[i] = {
    name = name, writes = ARGV[at + 1] == '1', bucket = tonumber(ARGV[at + 2]),
    length = tonumber(ARGV[at + 3]), margin = tonumber(ARGV[at + 4]),
    calls = tonumber(ARGV[at + 5]), known = tonumber(ARGV[at + 6]),
  }
  names[#names + 1] = name
  names[#names + 1] = name .. '#'
  names[#names + 1] = name .. '+'
  names[#names + 1] = name .. '@'
  names[#names + 1] = name .. '~'
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(ARGV[14]) > 0 and now > tonumber(ARGV[14]) then
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
local from, stretch = got[7] or '', tonumber(got[8] or 1000)
local granted, strange = tonumber(got[9] or 0), tonumber(got[10] or 0)
local away = tonumber(ARGV[8])
if not epoch then
  epoch = text(now) .. '-' .. process
  if ARGV[9] ~= '' or away > 0 then settled = now + YOUNG end
elseif (away > BLINK and now - last > away) or (from == '' and ARGV[10] == epoch) then
  -- Nobody was here: others may have used their shares and not have said so yet.
  settled = math.max(settled, now + SETTLE)
end

-- What was seen of Nexudus: of all who saw it, the longest pause, lowest factor, widest stretch.
stretch = stretch * math.exp(-math.max(0, now - since) / RELAXED)
stretch = math.min(WIDEST, math.max(1000, stretch, tonumber(ARGV[13])))
factor = math.min(1000, factor + REGAINED * math.max(0, now - since))
factor = math.max(FLOOR, math.min(factor, tonumber(ARGV[12])))
if tonumber(ARGV[11]) > 0 then pause = math.max(pause, now + tonumber(ARGV[11])) end
since = math.max(now, pause)

for i, w in ipairs(windows) do
  local at = fixed + 1 + (i - 1) * 5
  w.entries, w.used, w.ever = got[at] or '', tonumber(got[at + 1] or 0), tonumber(got[at + 2] or 0)
  w.seeded = tonumber(got[at + 3] or -1)
  w.keep = w.length + w.margin
  if w.bucket == 0 then w.keep = math.ceil(w.length * stretch / 1000) + w.margin end
  local head = 1
  while true do
    local ends, calls, after = string.match(w.entries, '^(%d+):(%d+) ()', head)
    if not ends or now < tonumber(ends) + w.keep then break end
    w.used, head = w.used - tonumber(calls), after
  end
  w.entries = string.sub(w.entries, head)
  -- Strangers' calls among them that were not accepted. When they were sent makes no difference here.
  w.theirs, w.strangers = '', 0
  for ends, calls in string.gmatch(got[at + 4] or '', '(%d+):(%d+) ') do
    if now < tonumber(ends) + w.keep then
      w.theirs, w.strangers = w.theirs .. ends .. ':' .. calls .. ' ', w.strangers + tonumber(calls)
    end
  end
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

local function minus_one(entries, ends)
  local head, calls, rest = string.match(' ' .. entries, '^(.* )' .. text(ends) .. ':(%d+) (.*)$')
  if not head then return nil end
  local others = tonumber(calls) - 1
  return string.sub(head, 2) .. (others > 0 and text(ends) .. ':' .. text(others) .. ' ' or '') .. rest
end

local function was_sent(w, held, ago)
  local ends, sent = bucket_end(w, held), bucket_end(w, math.min(held, now - ago))
  local others = sent < ends and minus_one(w.entries, ends)
  if others then
    w.entries = others
    if now < sent + w.keep then insert(w, sent, 1) else w.used = w.used - 1 end
  end
end

local function was_accepted(w, held)
  local others = minus_one(w.theirs, bucket_end(w, held))
  if others then w.theirs, w.strangers = others, w.strangers - 1 end
end

local function was_returned(w, held)
  local others = minus_one(w.entries, bucket_end(w, held))
  if others then w.entries, w.used = others, w.used - 1 end
end

-- Only calls that are still in their window, and of this epoch's grants, can have been sent earlier.
local at = FIRST + count * FIELDS
for first = at, at + (reports - 1) * 3, 3 do
  local held, what, ago = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  for _, w in ipairs(windows) do
    if ARGV[9] == epoch and (what % 2 == 1 or not w.writes) then
      if what >= 4 then was_returned(w, held)
      elseif what >= 2 then was_accepted(w, held)
      else was_sent(w, held, ago) end
    end
  end
end

-- Seeds of one lost epoch: whoever had counted most of it knows most, the others know a part.
local seeds = ARGV[10] == epoch
for at = at + reports * 3, #ARGV, 4 do
  local i, is_seed = tonumber(ARGV[at]), ARGV[at + 1] == '1'
  local w, ago, calls = windows[i], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if not is_seed or (seeds and (w.seeded < 0 or from ~= ARGV[9])) then account(w, ago, calls) end
end
if seeds then
  for _, w in ipairs(windows) do
    if w.seeded >= 0 and from == ARGV[9] and w.known > w.seeded then
      account(w, 0, w.known - w.seeded)
    end
    if from == ARGV[9] then w.seeded = math.max(w.seeded, w.known) else w.seeded = w.known end
  end
  from = ARGV[9]
end

-- First what a full server lets pass, and then what follows.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now - LIVE))
if priority == -2 then
  for i = 2, 5 do redis.call('ZREM', KEYS[i], process) end
else
  redis.call('ZADD', KEYS[2], text(now), process)
end
redis.call('PEXPIRE', KEYS[2], LIVE)
local live = redis.call('ZRANGE', KEYS[2], 0, -1)

local function allowed(w, share)
  if w.bucket == 0 then return 1 end
  return math.max(1, math.floor(w.calls * share * factor / 1000000))
end

local own = tonumber(ARGV[OWN])
-- Up to which use calls of one priority go. Strangers stop where their share ends only once so many of
-- them were not accepted as fit above it: a burst of members may use a limit up, invented tokens not.
local function level(w, p)
  local most, share = allowed(w, 1000), allowed(w, tonumber(ARGV[SHARES + p]))
  return p == STRANGER and w.strangers < most - share and most or share
end

local function read_fits(p)
  for _, w in ipairs(windows) do
    if not w.writes and w.used >= level(w, p) then return false end
    if p == STRANGER and w.bucket > 0 and not w.writes and w.strangers >= allowed(w, own) then return false end
  end
  return true
end

local function until_left(entries, leaving)
  for ends, calls in string.gmatch(entries, '(%d+):(%d+) ') do
    leaving = leaving - tonumber(calls)
    if leaving <= 0 then return tonumber(ends) end
  end
end

-- The longest wait of all calls, of writes, of those of no greater share, of both; of strangers only
-- and of their writes.
local status, wait, waits, scope, yields = 0, 0, { 0, 0, 0, 0, 0, 0 }, 0, false
-- While a stranger's call is on its way it may be accepted any moment, and make room for theirs.
local hopeful = priority == STRANGER and now < strange + ANSWERED
for _, w in ipairs(windows) do
  local most = priority >= 0 and level(w, priority) or allowed(w, 1000)
  local leaving, writes = w.used + 1 - most, w.writes and 1 or 0
  local ends = leaving > 0 and (write or not w.writes) and until_left(w.entries, leaving)
  if ends then
    local needed = ends + w.keep - now
    -- One that is on its way is reported soon, and not later than it was held for.
    if w.bucket == 0 and ends > now + 1 then
      needed = math.max(math.min(needed, AGAIN), needed - hold)
    end
    local full = w.used >= allowed(w, 1000)
    if hopeful and not full then needed = math.min(needed, LOOK) end
    local whose = 1 + writes + (full and 0 or 2)
    waits[whose] = math.max(waits[whose], needed)
  end
  leaving = w.strangers + 1 - allowed(w, own)
  if priority == STRANGER and w.bucket > 0 and leaving > 0 and (write or not w.writes) then
    local needed = until_left(w.theirs, leaving) + w.keep - now
    if hopeful then needed = math.min(needed, LOOK) end
    waits[5 + writes] = math.max(waits[5 + writes], needed)
  end
end
waits[1] = math.max(waits[1], pause - now)
for whose, needed in ipairs(waits) do
  if needed > wait then wait, scope = needed, whose - 1 end
end
if settled > now then
  if pause <= now then status, wait = 2, 0 end
elseif wait <= 0 and priority >= 0 then
  for higher = 0, priority - 1 do
    -- Whoever waits for a smaller share to be free could do nothing with the place.
    if not yields and read_fits(higher) then
      local key = KEYS[3 + higher]
      redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
      local others = redis.call('ZCARD', key)
      if others > 0 and redis.call('ZSCORE', key, process) then others = others - 1 end
      yields = others > 0
    end
  end
  if yields then wait = YIELD else status = 1 end
end

local function plus_one(entries, ends)
  local before, calls = string.match(entries, '^(.*)' .. ends .. ':(%d+) $')
  if before then return before .. ends .. ':' .. text(tonumber(calls) + 1) .. ' ' end
  return entries .. ends .. ':1 '
end

local gap = now - granted
if status == 1 then
  granted = now
  if priority == STRANGER then strange = now end
  for _, w in ipairs(windows) do
    if write or not w.writes then
      w.entries = plus_one(w.entries, text(bucket_end(w, now + hold)))
      w.used, w.ever = w.used + 1, w.ever + 1
      if priority == STRANGER and w.bucket > 0 then
        w.theirs = plus_one(w.theirs, text(bucket_end(w, now + hold)))
      end
    end
  end
end

-- Lower priorities of other processes yield to those who wait here, for a short time only.
if priority >= 0 and status ~= 2 then
  for p = 0, 2 do
    local waiting = tonumber(ARGV[5 + p])
    local denied = status == 0 and scope % 2 == 0
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
  'stretch', string.format('%.6f', stretch), 'granted', text(granted), 'strange', text(strange),
}
local out = {
  status, math.ceil(wait), scope,
  math.max(-KEEP, pause - now), math.floor(factor), math.ceil(stretch), math.max(0, settled - now),
  math.min(KEEP, gap), epoch, text(now),
}
for _, w in ipairs(windows) do
  for suffix, value in pairs({ [''] = w.entries, ['#'] = text(w.used), ['+'] = text(w.ever) }) do
    kept[#kept + 1] = w.name .. suffix
    kept[#kept + 1] = value
  end
  if w.bucket > 0 then
    kept[#kept + 1] = w.name .. '~'
    kept[#kept + 1] = w.theirs
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
