remove(post, 'detached')
save()
return answer('done', text(number))
