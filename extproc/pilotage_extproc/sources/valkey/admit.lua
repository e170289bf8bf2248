-- Hold all claims of a request, or none.
-- KEYS: epoch, id, then one for each claim.
-- ARGV: lease in ms, note, and five words for each claim: kind, bound, held, and
--   w: window in ms, 0 · c: 0, 0 · b: begin of its period (s), end; the bound of a soft one is -1.
-- Returns words in one string: 'E' without an epoch; 'P', now where a period is over; 'R', claim, used, ms until it
-- may fit or -1; 'D' where the request was given up; 'G', epoch, slots, what each window counts, then what the
-- ledger of each budget shows.

local epoch = redis.call('GET', KEYS[1])
if not epoch then
  return 'E'
end
local now = now_ms()
local lease_ms, note = tonumber(ARGV[1]), ARGV[2]
local id = KEYS[2]
if redis.call('EXISTS', id) == 1 then -- given up by its process, before this came
  return 'D'
end
local claims = {}
local said = words(ARGV[3])
for at = 1, #said, 5 do
  local claim = {
    key = KEYS[3 + (at - 1) / 5],
    kind = said[at],
    bound = tonumber(said[at + 1]),
    held = tonumber(said[at + 2]),
    first = tonumber(said[at + 3]),
    last = tonumber(said[at + 4]),
  }
  claims[#claims + 1] = claim
  if claim.kind == 'b' and (now < claim.first * 1000 - SKEW_MS or now >= claim.last * 1000 + SKEW_MS) then
    return 'P ' .. text(now)
  end
end
for place, claim in ipairs(claims) do
  local used, wait = 0, nil
  if claim.kind == 'w' then
    claim.slot, used = advanced(claim.key, claim.first, now)
    claim.used = used
    if used + claim.held > claim.bound then
      wait = fits_in(claim.key, claim.first, now, claim.slot, used, claim.held, claim.bound)
    end
  elseif claim.kind == 'c' then
    redis.call('ZREMRANGEBYSCORE', claim.key, '-inf', now)
    used = redis.call('ZCARD', claim.key)
    wait = used + claim.held > claim.bound and 1000 or nil
  elseif claim.bound >= 0 then
    expired(claim.key, now)
    local spent = booked(claim.key)
    used = spent + number(redis.call('HGET', claim.key, 'h'))
    if used + claim.held > claim.bound then
      wait = spent + claim.held <= claim.bound and 1000 or -1
    end
  end
  if wait then
    return table.concat({ 'R', place - 1, text(used), text(math.ceil(wait)) }, ' ')
  end
end
local slots, used, spent = {}, {}, {}
for place, claim in ipairs(claims) do
  slots[place], used[place] = 0, 0
  if claim.kind == 'w' then
    slots[place], used[place] = claim.slot, text(claim.used + claim.held)
    counted(claim.key, claim.first, now, claim.slot, claim.held)
  elseif claim.kind == 'c' then
    redis.call('ZADD', claim.key, now + lease_ms, id)
    redis.call('PEXPIRE', claim.key, lease_ms)
  else
    hold_budget(claim.key, id, claim.held, now, lease_ms, claim.last)
    spent[#spent + 1] = text(booked(claim.key))
  end
end
local written = table.concat(slots, ',')
redis.call('SET', id, 'h\n' .. written .. '\n\n' .. note, 'PX', DAY_MS)
return table.concat({ 'G', epoch, written, table.concat(used, ','), unpack(spent) }, ' ')
