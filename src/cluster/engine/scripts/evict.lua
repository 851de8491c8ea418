-- ARGV: 8 who is out.
remove(ARGV[8], 'evicted')
save()
return answer('done', text(number))
