-- Precedes the scripts about a room. KEYS: 1 its record, 2 its log. ARGV: 3 command for publishing, 4 maximum number
-- of entries and of their bytes, 5 lifetime of the record (ms), 6 requesting node, 7 incarnation that it knows.
local record, log = KEYS[1], KEYS[2]
local publish, lasts, post = ARGV[3], ARGV[5], ARGV[6]
local keep, keep_bytes = string.match(ARGV[4], '(%d+):(%d+)')
keep, keep_bytes = tonumber(keep), tonumber(keep_bytes)
local stored = redis.call('HMGET', record, 'incarnation', 'number', 'time', 'posts', 'bytes')
local incarnation = stored[1]
local number, time, bytes, posts = tonumber(stored[2] or 0), tonumber(stored[3] or 0), tonumber(stored[5] or 0), {}
for other in string.gmatch(stored[4] or '', '%S+') do
  posts[#posts + 1] = other
end

local function is_in(who)
  for _, other in ipairs(posts) do
    if other == who then
      return true
    end
  end
  return false
end

local function json(who)
  return (string.gsub(who, '(%d+):(%d+)', '{"server":%1,"life":%2}'))
end

local function say(who, entry)
  local channel = record .. ':' .. string.match(who, '%d+')
  redis.call(publish, channel, 'E' .. incarnation .. '\n' .. entry)
end

-- Drops the oldest entries until one of this size in bytes may be added.
local function trim(size)
  local length = redis.call('LLEN', log)
  while length > 0 and (length >= keep or bytes + size > keep_bytes) do
    bytes = bytes - #redis.call('LPOP', log)
    length = length - 1
  end
end

local function append(body)
  number = number + 1
  if now > time then
    time = now
  end
  local seconds = math.floor(time / 1000000)
  local nanos = (time - seconds * 1000000) * 1000
  local entry = version .. '{"number":' .. text(number) .. ',"time":{"secs":' .. text(seconds) .. ',"nanos":'
    .. text(nanos) .. '},"body":' .. body .. '}'
  trim(#entry)
  if type(redis.pcall('RPUSH', log, entry)) == 'table' then
    -- Refused at maxmemory: the log must not grow. After another write of the same script, RPUSH is not refused.
    keep_bytes = bytes
    trim(#entry)
    redis.call('RPUSH', log, entry)
  end
  bytes = bytes + #entry
  for _, other in ipairs(posts) do
    say(other, entry)
  end
  return entry
end

local function append_posts(news)
  local list = {}
  for at, other in ipairs(posts) do
    list[at] = json(other)
  end
  return append('{"posts":{"posts":[' .. table.concat(list, ',') .. '],"news":' .. news .. '}}')
end

local function remove(who, news)
  for at, other in ipairs(posts) do
    if other == who then
      table.remove(posts, at)
      -- The removed node gets the entry, too.
      say(who, append_posts('{"' .. news .. '":' .. json(who) .. '}'))
      return
    end
  end
end

-- Writes the record and keeps it from expiring, or deletes it if no node is attached.
local function save()
  if #posts == 0 then
    redis.call('DEL', record, log)
    return
  end
  -- At maxmemory, HSET is refused as the first write of a script, and PEXPIRE is not.
  redis.call('PEXPIRE', log, lasts)
  redis.call('HSET', record, 'incarnation', incarnation, 'number', text(number), 'time', text(time),
    'posts', table.concat(posts, ' '), 'bytes', text(bytes))
  redis.call('PEXPIRE', record, lasts)
end
