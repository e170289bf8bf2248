-- Replace what a request holds by what it used: once, and once more where an exact usage follows an estimate.
-- KEYS: epoch, id, then one for each claim.
-- ARGV: 1 if exact, writer, and five words for each claim: kind, held, used, and
--   w: window in ms, slot as its process knows it · c: 0, 0 · b: end of its period (s), 0.
-- Returns words in one string: 'E' without an epoch; 'D' where it was settled before, 'O' where this writer did; else
-- 'S', epoch, then what the ledger of each budget shows.

local epoch = redis.call('GET', KEYS[1])
if not epoch then
  return 'E'
end
local exact, writer, id = ARGV[1] == '1', ARGV[2], KEYS[2]
local known = redis.call('GET', id)
local state, slots, amounts, note = nil, {}, {}, ''
if known then
  state = known:sub(1, 1)
  if state == 's' then
    return known == 's' .. writer and 'O' or 'D'
  end
  local said, used
  said, used, note = known:match('^%a\n([^\n]*)\n([^\n]*)\n(.*)$')
  for slot in said:gmatch('[^,]+') do
    slots[#slots + 1] = tonumber(slot)
  end
  for amount in used:gmatch('[^,]+') do
    amounts[#amounts + 1] = tonumber(amount)
  end
  if state == 'e' and not exact then
    return 'D'
  end
end
local now = now_ms()
local now_used, shown = {}, {}
local told = words(ARGV[3])
for at = 1, #told, 5 do
  local place = (at - 1) / 5 + 1
  local key, kind = KEYS[place + 2], told[at]
  local held, used = tonumber(told[at + 1]), tonumber(told[at + 2])
  local first, slot = tonumber(told[at + 3]), slots[place] or tonumber(told[at + 4])
  now_used[place] = told[at + 2]
  slots[place] = slot
  if kind == 'w' then
    local before = state == 'h' and held or amounts[place] or 0
    counted(key, first, now, slot, used - before)
  elseif kind == 'c' then
    redis.call('ZREM', key, id)
  else
    released(key, id)
    if state == 'e' then
      redis.call('HINCRBY', key, 'e', -amounts[place])
    end
    redis.call('HINCRBY', key, exact and 's' or 'e', used)
    redis.call('EXPIREAT', key, first + 2 * DAY_MS / 1000)
    shown[#shown + 1] = text(booked(key))
  end
end
if exact then
  redis.call('SET', id, 's' .. writer, 'PX', DAY_MS)
else
  local written = table.concat(slots, ',') .. '\n' .. table.concat(now_used, ',')
  redis.call('SET', id, 'e\n' .. written .. '\n' .. note, 'PX', DAY_MS)
end
return table.concat({ 'S', epoch, unpack(shown) }, ' ')
