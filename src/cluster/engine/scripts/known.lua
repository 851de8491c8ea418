-- Precedes the scripts for which the record must exist and the node must be attached.
if incarnation ~= ARGV[7] then
  return answer('unknown')
end
if not is_in(post) then
  return answer('absent')
end
