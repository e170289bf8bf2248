-- Hold again what a request under way holds, where the server has lost it.
-- KEYS: id, then one for each claim. ARGV: as of admit.lua, and last the slots.

local slots = {}
for slot in ARGV[4]:gmatch('[^,]+') do
  slots[#slots + 1] = tonumber(slot)
end
local id, now, lease_ms = KEYS[1], now_ms(), tonumber(ARGV[1])
if redis.call('EXISTS', id) == 1 then
  return 0
end
local said = words(ARGV[3])
for at = 1, #said, 5 do
  local key, kind, held = KEYS[2 + (at - 1) / 5], said[at], tonumber(said[at + 2])
  if kind == 'c' then
    redis.call('ZADD', key, now + lease_ms, id)
    redis.call('PEXPIRE', key, lease_ms)
  elseif kind == 'b' then
    hold_budget(key, id, held, now, lease_ms, tonumber(said[at + 4]))
  else
    counted(key, tonumber(said[at + 3]), now, slots[(at - 1) / 5 + 1], held)
  end
end
redis.call('SET', id, 'h\n' .. ARGV[4] .. '\n\n' .. ARGV[2], 'PX', DAY_MS)
return 1
