-- c:KEY a cached value; C keys by their last use; Ce keys by the end of their time.
local C, Ce = key('C'), key('Ce')

local function drop(name)
  call('ZREM', C, name)
  call('ZREM', Ce, name)
  return call('UNLINK', key('c', name))
end

ops.read = function()
  return {'ok', call('GET', key('c', a.key))}
end

ops.write = function()
  for _, name in ipairs(call('ZRANGEBYSCORE', Ce, '-inf', NOW, 'LIMIT', 0, 100)) do drop(name) end
  for _, name in ipairs(a.asked) do
    if call('ZSCORE', C, name) then call('ZADD', C, call('HINCRBY', key('n'), 'used', 1), name) end
  end
  drop(a.key)
  if a.seconds and a.seconds <= 0 then return {'ok'} end
  if a.seconds then
    call('SET', key('c', a.key), a.value, 'PX', math.ceil(a.seconds * 1000))
    call('ZADD', Ce, NOW + a.seconds, a.key)
  else
    call('SET', key('c', a.key), a.value)
  end
  call('ZADD', C, call('HINCRBY', key('n'), 'used', 1), a.key)
  while a.size and call('ZCARD', C) > a.size do drop(call('ZRANGE', C, 0, 0)[1]) end
  return {'ok'}
end

ops.drop = function()
  return {'ok', drop(a.key)}
end

-- A part of all: the server answers others between two parts.
ops.clear = function()
  local names, count = call('ZRANGE', C, 0, 999), 0
  for _, name in ipairs(names) do count = count + drop(name) end
  return {'ok', count, #names}
end
