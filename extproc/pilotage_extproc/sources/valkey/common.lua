-- What all scripts share: the server's time, sliding windows, and holds whose lease has ended.
--
-- A window is a hash: h, the number of its newest slot; t, the sum of that and the hundred before; and 0 to
-- 100, the slots. A budget is a hash: s, settled; e, estimated; h, held; beside it KEY:l, a sorted set of
-- holds by the end of their lease in milliseconds, and KEY:a, their amounts. All amounts are whole numbers.

local SLOTS = 100
local COUNTED = 101
local SKEW_MS = 5000 -- clocks of pickers may differ so much from this one
local DAY_MS = 86400000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A whole number as text: `tostring` rounds to 14 digits.
local function text(value)
  return string.format('%.0f', value)
end

local function number(value)
  return tonumber(value or 0) or 0
end

-- Five words for each claim, from one argument: a command with few parts is quicker to write and to read.
local function words(text)
  local found = {}
  for word in text:gmatch('%S+') do
    found[#found + 1] = word
  end
  return found
end

-- A window that begins anew: it goes by itself, whether or not anything more is counted in it.
local function begun(key, window_ms, ...)
  redis.call('DEL', key)
  redis.call('HSET', key, ...)
  redis.call('PEXPIRE', key, math.ceil(window_ms * 1.02))
end

-- The window's newest slot and its sum, once what has left it is gone.
local function advanced(key, window_ms, now)
  local slot = math.floor(now / math.floor(window_ms / SLOTS))
  local known = redis.call('HMGET', key, 'h', 't')
  local head, total = tonumber(known[1]), number(known[2])
  if head == nil then
    begun(key, window_ms, 'h', slot, 't', 0)
    return slot, 0
  end
  local steps = slot - head
  if steps < -SLOTS then -- the clock was set back by more than a window: what was used leaves it from now
    begun(key, window_ms, 'h', slot, 't', total, slot % COUNTED, total)
    return slot, total
  elseif steps <= 0 then
    return head, total
  elseif steps >= COUNTED then
    begun(key, window_ms, 'h', slot, 't', 0)
    return slot, 0
  end
  local fields = {}
  for step = 1, steps do
    fields[step] = (head + step) % COUNTED
  end
  for _, left in ipairs(redis.call('HMGET', key, unpack(fields))) do
    total = total - number(left)
  end
  redis.call('HDEL', key, unpack(fields))
  redis.call('HSET', key, 'h', slot, 't', total)
  return slot, total
end

-- Count in a slot of a window, or correct it; nothing where it has left.
local function counted(key, window_ms, now, slot, by)
  local head = advanced(key, window_ms, now)
  if by ~= 0 and slot >= head - SLOTS and slot <= head then
    redis.call('HINCRBY', key, slot % COUNTED, by)
    redis.call('HINCRBY', key, 't', by)
    redis.call('PEXPIRE', key, math.ceil(window_ms * 1.02))
  end
end

-- Milliseconds until so much fits in a window, if nothing else comes.
local function fits_in(key, window_ms, now, head, total, held, bound)
  local fields = {}
  for step = 1, COUNTED do
    fields[step] = (head - SLOTS + step - 1) % COUNTED
  end
  local left = total
  for step, amount in ipairs(redis.call('HMGET', key, unpack(fields))) do
    if left + held <= bound then
      return (head + step - 1) * math.floor(window_ms / SLOTS) - now
    end
    left = left - number(amount)
  end
  return (head + COUNTED) * math.floor(window_ms / SLOTS) - now
end

-- Give back what a budget holds for a request, if it still does.
local function released(key, id)
  local amount = redis.call('HGET', key .. ':a', id)
  if amount then
    redis.call('HINCRBY', key, 'h', -number(amount))
    redis.call('HDEL', key .. ':a', id)
    redis.call('ZREM', key .. ':l', id)
  end
end

local function expired(key, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key .. ':l', '-inf', now, 'LIMIT', 0, 1000)) do
    released(key, id)
    redis.call('HINCRBY', key, 'x', 1)
  end
end

local function hold_budget(key, id, amount, now, lease_ms, period_end)
  if amount > 0 and redis.call('HSETNX', key .. ':a', id, amount) == 1 then
    redis.call('HINCRBY', key, 'h', amount)
    redis.call('ZADD', key .. ':l', now + lease_ms, id)
  end
  for _, one in ipairs({ key, key .. ':a', key .. ':l' }) do
    redis.call('EXPIREAT', one, period_end + 2 * DAY_MS / 1000)
  end
end

local function booked(key)
  local figures = redis.call('HMGET', key, 's', 'e')
  return number(figures[1]) + number(figures[2])
end
