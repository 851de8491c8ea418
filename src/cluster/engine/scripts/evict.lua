-- ARGV: 8 the node to evict.
remove(ARGV[8], 'evicted')
save()
return answer('done', text(number))
