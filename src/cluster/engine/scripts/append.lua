-- ARGV: from 8 on each act's own number, and the act.
for at = 8, #ARGV, 2 do
  append('{"act":{"post":' .. json(post) .. ',"own":' .. ARGV[at] .. ',"act":' .. ARGV[at + 1] .. '}}')
end
save()
return answer('done', text(number))
