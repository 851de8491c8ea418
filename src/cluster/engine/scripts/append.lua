-- ARGV: from 8 on, for each command its number and the command.
for at = 8, #ARGV, 2 do
  append('{"act":{"post":' .. json(post) .. ',"own":' .. ARGV[at] .. ',"act":' .. ARGV[at + 1] .. '}}')
end
save()
return answer('done', text(number))
