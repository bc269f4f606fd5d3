-- gb, gt, ge, gu: the body, tool, end and user of each standing approval, by id; gz ids by time, gzu:USER and gzn those of
-- a user and of nobody.
local body, tools, ends, users, all = key('gb'), key('gt'), key('ge'), key('gu'), key('gz')

local function has_ended(id)
  local at = call('HGET', ends, id)
  return at and tonumber(at) <= tonumber(NOW)
end

local function drop(id)
  local user = call('HGET', users, id)
  call('ZREM', index_of_user('gz', user), id)
  call('ZREM', all, id)
  for _, part in ipairs({tools, ends, users}) do call('HDEL', part, id) end
  return call('HDEL', body, id)
end

ops.add = function()
  local own, count = index_of_user('gz', a.user), 0
  for _, id in ipairs(call('ZRANGE', own, 0, -1)) do
    if has_ended(id) then
      drop(id)
    elseif call('HGET', tools, id) == a.tool then
      count = count + 1
    end
  end
  if count >= a.most then return {'full'} end
  call('HSET', body, a.id, a.body)
  call('HSET', tools, a.id, a.tool)
  if a.expires then call('HSET', ends, a.id, a.expires) end
  if a.user then call('HSET', users, a.id, a.user) end
  call('ZADD', all, a.created, a.id)
  call('ZADD', own, a.created, a.id)
  return {'ok'}
end

ops.list = function()
  local rows, from = {}, all
  if a.user or a.unowned then from = index_of_user('gz', a.user) end
  for _, id in ipairs(call('ZREVRANGE', from, 0, -1)) do
    if #rows >= a.limit then break end
    if not has_ended(id) and (not a.tool or call('HGET', tools, id) == a.tool) then
      rows[#rows + 1] = {id, call('HGET', body, id)}
    end
  end
  return {'ok', rows}
end

ops.revoke = function()
  return {'ok', drop(a.id)}
end
