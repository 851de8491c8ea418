append_posts('"founded"')
save()
return answer('done', text(number))
