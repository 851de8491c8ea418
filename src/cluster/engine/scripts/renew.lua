-- KEYS: 1 the lease. ARGV: 3 how long it lasts (ms).
local lived = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[3])
return answer('lease', text(lived))
