-- What budgets have now, without holds whose lease has ended. KEYS: epoch, then one for each budget.
-- Returns words in one string: 'E' without an epoch; else 'F', then for each budget three: settled, estimated, held.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'E'
end
local now, found = now_ms(), { 'F' }
for at = 2, #KEYS do
  expired(KEYS[at], now)
  for _, figure in ipairs({ unpack(redis.call('HMGET', KEYS[at], 's', 'e', 'h'), 1, 3) }) do
    found[#found + 1] = text(number(figure))
  end
end
return table.concat(found, ' ')
