-- Before those about a record that there must be, by a post that must be in.
if incarnation ~= ARGV[7] then
  return answer('unknown')
end
if not is_in(post) then
  return answer('absent')
end
