-- KEYS: 1 the lease. ARGV: 3 its duration (ms).
-- At maxmemory, SET is refused as the first write of a script, and PEXPIRE is not.
local lived = redis.call('PEXPIRE', KEYS[1], ARGV[3])
if lived == 0 then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[3])
end
return answer('lease', text(lived))
