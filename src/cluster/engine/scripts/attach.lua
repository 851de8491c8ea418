-- ARGV: 8 earliest creation time of a new record (ms).
if not incarnation then
  local born = math.max(math.floor(now / 1000), tonumber(ARGV[8]))
  incarnation, time, bytes = text(born) .. ':' .. post, now, 0
  redis.call('DEL', log)
end
if not is_in(post) then
  if incarnation == ARGV[7] then
    return answer('absent')
  end
  posts[#posts + 1] = post
  append_posts('{"attached":' .. json(post) .. '}')
end
save()
return answer('attached', incarnation, text(number), text(time), table.concat(posts, ' '))
