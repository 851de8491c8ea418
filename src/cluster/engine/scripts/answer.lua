-- Before all others. ARGV: 1 the request's number, 2 until when it is good.
local clock = redis.call('TIME')
-- In microseconds, which a double holds exactly.
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
