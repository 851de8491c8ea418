-- KEYS: leases.
local living = {}
for at, lease in ipairs(KEYS) do
  living[at] = text(redis.call('EXISTS', lease))
end
return answer('living', living)
