-- Precedes every script. ARGV: 1 number of the call, 2 its deadline in microseconds.
local clock = redis.call('TIME')
-- In microseconds, which a double represents exactly.
local now = clock[1] * 1000000 + clock[2]

local function text(number)
  return string.format('%.0f', number)
end

local function answer(...)
  return {ARGV[1], text(now), ...}
end

if now > tonumber(ARGV[2]) then
  return answer('late')
end
