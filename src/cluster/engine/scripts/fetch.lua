-- ARGV: 8 number of the last known entry.
save()
local first = number - redis.call('LLEN', log) + 1
local next = tonumber(ARGV[8]) + 1
if next < first then
  return answer('entries', text(number))
end
return answer('entries', text(number), redis.call('LRANGE', log, text(next - first), -1))
