-- Let requests in once every writer has had time to contribute. KEYS: epoch, begin of the rebuild.
-- ARGV: milliseconds that it takes, the epoch's name. Returns words in one string: 'O' and the epoch,
-- 'W' and how many ms to wait, or 'C' where it has lost all once more.

local epoch = redis.call('GET', KEYS[1])
if epoch then
  return 'O ' .. epoch
end
local began, now = redis.call('GET', KEYS[2]), now_ms()
if not began then
  return 'C'
end
local left = number(began) + tonumber(ARGV[1]) - now
if left > 0 and left <= tonumber(ARGV[1]) then
  return 'W ' .. text(left)
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 'O ' .. ARGV[2]
