-- s:ID a session's fields; m:ID its messages; S, Su:USER, Sn: sessions by the time of their last change.
local function refuse_append(new)
  local known = call('HMGET', key('s', new.session), 'version', 'user')
  if known[1] and (known[2] or nil) ~= new.user then return {'foreign', known[2]} end
  if tonumber(known[1] or 0) ~= new.version then return {'moved', known[1] or '0'} end
end

local function forget_session(session)
  local user = call('HGET', key('s', session), 'user')
  call('ZREM', key('S'), session)
  call('ZREM', index_of_user('S', user), session)
  return call('UNLINK', key('s', session), key('m', session))
end

-- Tells whether one of the session's latest runs is not over.
local function is_in_use(session)
  for _, run in ipairs(call('ZREVRANGE', key('Rs', session), 0, 99)) do
    local status = call('HGET', key('r', run), 'status')
    if status == 'running' or status == 'paused' then return true end
  end
  return false
end

local function append(new)
  local s = key('s', new.session)
  local fields = {'updated', NOW}
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if new.version == 0 then
    set('created', NOW)
    if new.user then set('user', new.user) end
  end
  if new.data then set('data', new.data) end
  if new.agent ~= '' then set('agent', new.agent) end
  call('HSET', s, unpack(fields))
  if new.first ~= '' then call('HSETNX', s, 'first', new.first) end
  push(key('m', new.session), new.messages)
  call('HINCRBY', s, 'total', #new.messages)
  call('ZADD', key('S'), NOW, new.session)
  call('ZADD', index_of_user('S', new.user), NOW, new.session)
  -- A store with a time to live forgets old sessions at later writes, a few at a time.
  if new.ttl then
    local old = call('ZRANGEBYSCORE', key('S'), '-inf', NOW - new.ttl, 'LIMIT', 0, 50)
    for _, session in ipairs(old) do
      if not is_in_use(session) then forget_session(session) end
    end
  end
  return tostring(call('HINCRBY', s, 'version', 1))
end

ops.append = function()
  return refuse_append(a) or {'ok', append(a)}
end

ops.load = function()
  local found = call('HMGET', key('s', a.session), 'version', 'user', 'total', 'data')
  local messages = {}
  if a.last ~= 0 then messages = call('LRANGE', key('m', a.session), a.last and -a.last or 0, -1) end
  return {'ok', found, messages, call('LLEN', key('m', a.session))}
end

local INFO = {'user', 'total', 'created', 'updated', 'title', 'first', 'agent'}

ops.info = function()
  return {'ok', call('HMGET', key('s', a.session), unpack(INFO))}
end

ops.list = function()
  local index = (a.user and key('Su', a.user)) or (a.unowned and key('Sn')) or key('S')
  local ids, top = {}, '+inf'
  if a.before then
    top = '(' .. a.before
    for _, id in ipairs(call('ZREVRANGEBYSCORE', index, a.before, a.before)) do
      if id < a.before_id then ids[#ids + 1] = id end
    end
  end
  for _, id in ipairs(call('ZREVRANGEBYSCORE', index, top, '-inf', 'LIMIT', 0, a.limit)) do ids[#ids + 1] = id end
  local rows = {}
  for at = 1, math.min(#ids, a.limit) do
    local found = call('HMGET', key('s', ids[at]), unpack(INFO))
    if found[4] then rows[#rows + 1] = {ids[at], found} else call('ZREM', index, ids[at]) end
  end
  return {'ok', #ids >= a.limit and 1 or 0, rows}
end

ops.rename = function()
  local s = key('s', a.session)
  if call('EXISTS', s) == 0 then return {'ok', 0} end
  if a.title ~= '' then call('HSET', s, 'title', a.title) else call('HDEL', s, 'title') end
  return {'ok', 1}
end

ops.delete = function()
  if call('EXISTS', key('s', a.session)) == 0 then return {'ok', 0} end
  forget_session(a.session)
  return {'ok', 1}
end
