-- Copies, sizes and old sessions. F holds the users with facts.
ops.ids = function()
  if a.kind == 'facts' then return {'ok', call('SMEMBERS', key('F'))} end
  return {'ok', call('ZRANGE', key(a.kind == 'sessions' and 'S' or 'R'), 0, -1)}
end

ops.export = function()
  local names = {'user', 'version', 'created', 'updated', 'title', 'first', 'agent', 'data', 'total'}
  local found, messages = call('HMGET', key('s', a.session), unpack(names)), {}
  if a.limit > 0 then messages = call('LRANGE', key('m', a.session), a.after, a.after + a.limit - 1) end
  return {'ok', found, messages}
end

ops.import_session = function()
  local s = key('s', a.session)
  local known = call('HMGET', s, 'version', 'user', 'total')
  local total = tonumber(known[3] or 0)
  if known[1] and (known[2] or nil) ~= a.user then return {'foreign', known[2]} end
  if total ~= a.first - 1 or (known[1] and a.first == 1 and #a.messages == 0) then return {'beside', total} end
  call('HSET', s, unpack(a.fields))
  if a.title ~= '' then call('HSET', s, 'title', a.title) else call('HDEL', s, 'title') end
  if a.words ~= '' then call('HSETNX', s, 'first', a.words) end
  push(key('m', a.session), a.messages)
  call('HINCRBY', s, 'total', #a.messages)
  call('ZADD', key('S'), a.updated, a.session)
  call('ZADD', index_of_user('S', a.user), a.updated, a.session)
  return {'ok'}
end

ops.import_run = function()
  local r, children = key('r', a.run), call('SMEMBERS', key('rc', a.run))
  local known = call('HGET', r, 'updated')
  if known and tonumber(known) >= tonumber(a.updated) then return {'ok', 0} end
  local refused = refuse_approvals(a.run, a.approvals)
  if refused then return refused end
  if known then forget_run(a.run) end
  for _, child in ipairs(children) do call('SADD', key('rc', a.run), child) end
  add_run(a.run, a.fields)
  add_entries(a.run, a.entries)
  push(key('g', a.run), a.signals)
  push(key('e', a.run), a.events)
  add_approvals(a.run, a.user, a.approvals)
  return {'ok', 1}
end

local function measure(found, part, count, ...)
  local sizes = found[part] or {0, 0}
  found[part] = sizes
  sizes[1] = sizes[1] + count
  for _, each in ipairs({...}) do sizes[2] = sizes[2] + (call('MEMORY', 'USAGE', each) or 0) end
end

local function note_times(found, part, created, updated)
  local sizes = found[part]
  if created and (not sizes[3] or tonumber(created) < tonumber(sizes[3])) then sizes[3] = created end
  if updated and (not sizes[4] or tonumber(updated) > tonumber(sizes[4])) then sizes[4] = updated end
end

local MEASURES = {
  sessions = function(found, id)
    local times = call('HMGET', key('s', id), 'created', 'updated')
    if not times[2] then return end
    measure(found, 'sessions', 1, key('s', id))
    note_times(found, 'sessions', times[1], times[2])
    measure(found, 'messages', call('LLEN', key('m', id)), key('m', id))
  end,
  runs = function(found, id)
    local times = call('HMGET', key('r', id), 'created', 'updated')
    if not times[2] then return end
    measure(found, 'runs', 1, key('r', id))
    note_times(found, 'runs', times[1], times[2])
    for part, kind in pairs({entries = 'j', signals = 'g', events = 'e'}) do
      measure(found, part, call('LLEN', key(kind, id)), key(kind, id))
    end
    for _, approval in ipairs(call('ZRANGE', key('ra', id), 0, -1)) do
      measure(found, 'approvals', 1, key('a', approval))
    end
  end,
  facts = function(found, id)
    local f, ids = key('f', id), call('ZRANGE', key('fz', id), 0, -1)
    measure(found, 'facts', #ids, f, key('fk', id), key('fz', id))
    for _, fact in ipairs(ids) do
      local times = call('HMGET', f, 'c' .. fact, 'u' .. fact)
      note_times(found, 'facts', times[1], times[2])
    end
  end,
}

ops.measure = function()
  local found, rows = {}, {}
  for _, id in ipairs(a.ids) do MEASURES[a.kind](found, id) end
  for part, sizes in pairs(found) do rows[#rows + 1] = {part, sizes[1], sizes[2], sizes[3] or false, sizes[4] or false} end
  return {'ok', rows}
end

ops.count_others = function()
  local cached = call('ZCOUNT', key('C'), '-inf', '+inf') - call('ZCOUNT', key('Ce'), '-inf', NOW)
  return {'ok', {call('ZCARD', key('gz')), cached}}
end

ops.old = function()
  return {'ok', NOW, call('ZREVRANGE', key('S'), 0, -1, 'WITHSCORES')}
end

-- Forgets sessions, unless they are in use, or were written to since they were found to be old.
ops.prune_sessions = function()
  local in_use, found = {}, {}
  for _, status in ipairs({'running', 'paused'}) do
    for _, run in ipairs(call('ZRANGE', key('Rt', status), 0, -1)) do
      local session = call('HGET', key('r', run), 'session')
      if session then in_use[session] = true end
    end
  end
  for at, session in ipairs(a.sessions) do
    if not in_use[session] and call('ZSCORE', key('S'), session) == a.scores[at] then
      found[#found + 1] = session
      if not a.dry_run then forget_session(session) end
    end
  end
  return {'ok', found}
end
