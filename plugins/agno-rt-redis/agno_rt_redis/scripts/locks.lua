-- l:SESSION the token of the holder of a session's lock, lf:SESSION of the caller that follows, so that a process with a
-- long line of its own cannot overtake the callers of others. Both end by themselves if their process dies.
ops.take = function()
  local lock, following = key('l', a.session), key('lf', a.session)
  local holder, follower = call('GET', lock), call('GET', following)
  if holder == a.token then return {'ok'} end
  if not follower or follower == a.token then
    if not holder then
      call('SET', lock, a.token, 'PX', a.ms)
      call('DEL', following)
      return {'ok'}
    end
    if a.wait then call('SET', following, a.token, 'PX', 1000) end
  end
  return {'held'}
end

ops.release = function()
  for _, lock in ipairs({key('l', a.session), key('lf', a.session)}) do
    if call('GET', lock) == a.token then call('DEL', lock) end
  end
  return {'ok'}
end

ops.renew = function()
  local lost = {}
  for session, token in pairs(a.held) do
    if call('GET', key('l', session)) == token then
      call('PEXPIRE', key('l', session), a.ms)
    else
      lost[#lost + 1] = session
    end
  end
  return {'ok', lost}
end
