return answer('pong')
