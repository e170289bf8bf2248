-- What a request was estimated at, where the server has lost it: an exact usage may still take its place.
-- KEYS: id. ARGV: slots, amounts.

return redis.call('SET', KEYS[1], 'e\n' .. ARGV[1] .. '\n' .. ARGV[2] .. '\n', 'NX', 'PX', DAY_MS)
