-- What one writer has booked so far, where the server has lost it or never had it; each writer counts once.
-- KEYS: epoch, writers there are, begin of the rebuild, then one for each budget.
-- ARGV: writer, then for each budget three: settled, estimated, end of its period (s).

local now = now_ms()
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[3], now, 'NX', 'PX', DAY_MS)
end
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then
  return 0
end
for at = 2, #ARGV, 3 do
  local key = KEYS[4 + (at - 2) / 3]
  redis.call('HINCRBY', key, 's', ARGV[at])
  redis.call('HINCRBY', key, 'e', ARGV[at + 1])
  redis.call('EXPIREAT', key, tonumber(ARGV[at + 2]) + 2 * DAY_MS / 1000)
end
return 1
