-- r:ID a run's fields; j:ID its journal; g:ID its signals; rc:ID the runs to delete with it; R, Ru:USER, Rn, Rs:SESSION,
-- Rt:STATUS runs by the time of their last change; Rq:REQUEST the runs that began in a request; W:AGENT paused runs by
-- the time at which they go on by themselves; X runs whose cancellation is requested.
local OVER = {completed = true, failed = true, cancelled = true, limited = true}

-- Puts the run in its place by the time of its change. `known` is its status, session and user.
local function touch(run, known, status, at)
  at = at or NOW
  call('HSET', key('r', run), 'updated', at)
  call('ZADD', key('R'), at, run)
  call('ZADD', index_of_user('R', known[3]), at, run)
  if known[2] then call('ZADD', key('Rs', known[2]), at, run) end
  if status and status ~= known[1] then
    call('ZREM', key('Rt', known[1]), run)
    call('HSET', key('r', run), 'status', status)
  end
  call('ZADD', key('Rt', status or known[1]), at, run)
end

-- Compares as Redis orders members of one score: by bytes. Lua's `<` would go by the language of the machine.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local left, right = string.byte(one, at), string.byte(other, at)
    if left ~= right then return left < right end
  end
  return #one < #other
end

local function is_after(one, other)
  local left, right = tonumber(one[1]), tonumber(other[1])
  return left < right or (left == right and precedes(one[2], other[2]))
end

local function place_of(run, updated)
  -- A damaged time must not hide the other runs.
  return {tonumber(updated) and updated or '0', run}
end

-- Returns up to `count` runs of an index from rank `rank` on, the last changed first, and the next rank. Without a rank,
-- the first is at the place, a time and an id, or has the same time. Runs that were last changed when the index was one
-- of counts come at the end, in their order.
local function read_index(index, place, rank, count)
  rank = rank or (place and call('ZCOUNT', index, '(' .. place[1], '+inf')) or 0
  return call('ZREVRANGE', index, rank, rank + count - 1), rank + count
end

local function read_places(run)
  return call('HMGET', key('r', run), 'status', 'session', 'user', 'owner', 'entries', 'agent', 'updated')
end

local function read_owned(run, owner)
  local known = read_places(run)
  if not known[1] then return known, {'unknown'} end
  if known[4] ~= owner then return known, {'owner', known[4]} end
  return known, nil
end

local function add_entries(run, entries)
  if #entries == 0 then return end
  push(key('j', run), entries)
  call('HINCRBY', key('r', run), 'entries', #entries)
end

local function refuse_order(known, entries, first)
  if #entries > 0 and tonumber(known[5]) ~= first then return {'order', known[5]} end
end

-- Stores a new record; `fields` are names and values in turn.
local function add_run(run, fields)
  local r = key('r', run)
  call('HSET', r, unpack(fields))
  local around = call('HMGET', r, 'parent', 'continued_by', 'wakes_at', 'cancel_requested', 'status', 'agent')
  if around[1] then call('SADD', key('rc', around[1]), run) end
  if around[2] then call('SADD', key('rc', around[2]), run) end
  if around[3] and around[5] == 'paused' then call('ZADD', key('W', around[6]), around[3], run) end
  if around[4] then call('SADD', key('X'), run) end
  local named = call('HMGET', r, 'updated', 'request')
  touch(run, read_places(run), nil, named[1])
  if named[2] then call('SADD', key('Rq', named[2]), run) end
end

local function list_tree(run)
  local found, seen, at = {run}, {[run] = true}, 1
  while at <= #found do
    for _, child in ipairs(call('SMEMBERS', key('rc', found[at]))) do
      if not seen[child] then
        seen[child] = true
        found[#found + 1] = child
      end
    end
    at = at + 1
  end
  return found
end

local function forget_run(run)
  local known = read_places(run)
  local around = call('HMGET', key('r', run), 'parent', 'continued_by', 'request')
  for at = 1, 2 do
    if around[at] then call('SREM', key('rc', around[at]), run) end
  end
  if around[3] then call('SREM', key('Rq', around[3]), run) end
  forget_approvals(run, known[3])
  call('ZREM', key('R'), run)
  call('ZREM', index_of_user('R', known[3]), run)
  if known[2] then call('ZREM', key('Rs', known[2]), run) end
  if known[1] then call('ZREM', key('Rt', known[1]), run) end
  if known[6] then call('ZREM', key('W', known[6]), run) end
  call('SREM', key('X'), run)
  call('UNLINK', key('r', run), key('j', run), key('g', run), key('rc', run), key('e', run))
end

ops.create = function()
  if call('EXISTS', key('r', a.run)) == 1 then return {'taken'} end
  local fields, created = a.fields, a.created or NOW
  local updated = a.updated or (tonumber(NOW) > tonumber(created) and NOW or created)
  for _, value in ipairs({'created', created, 'updated', updated, 'entries', '0'}) do fields[#fields + 1] = value end
  add_run(a.run, fields)
  add_entries(a.run, a.entries)
  return {'ok'}
end

ops.write = function()
  local known, refused = read_owned(a.run, a.owner)
  refused = refused or refuse_order(known, a.entries, a.first)
  if refused then return refused end
  add_entries(a.run, a.entries)
  touch(a.run, known)
  return {'ok'}
end

ops.change = function()
  local known, refused = read_owned(a.run, a.owner)
  refused = refused or refuse_order(known, a.entries, a.first)
  if refused then return refused end
  local signals = call('LLEN', key('g', a.run))
  if a.signals and a.signals < signals then return {'signals', signals} end
  refused = refuse_approvals(a.run, a.approvals)
  if refused then return refused end
  for _, id in ipairs(a.waits_for) do
    local row = read_approval(id)
    if row[2] and status_now(row[3], row[6]) ~= 'pending' then return {'decided', row, NOW} end
  end
  refused = a.append and refuse_append(a.append)
  if refused then return refused end
  -- From here on nothing is refused.
  local version = a.append and append(a.append) or false
  add_entries(a.run, a.entries)
  add_approvals(a.run, known[3], a.approvals)
  for _, id in ipairs(a.withdrawn) do withdraw(id) end
  local r = key('r', a.run)
  call('HDEL', r, 'owner', 'error', 'code', 'wakes_at')
  call('HSET', r, unpack(a.fields))
  call('SREM', key('X'), a.run)
  if a.wakes_at and a.status == 'paused' then call('ZADD', key('W', known[6]), a.wakes_at, a.run) end
  touch(a.run, known, a.status)
  call('PUBLISH', key('e', a.run), '')
  return {'ok', version}
end

ops.claim = function()
  local known = read_places(a.run)
  if not known[1] then return {'unknown'} end
  if known[1] == 'completed' or (known[4] or nil) ~= a.held_by then return {'claim', known[1], known[4]} end
  local r = key('r', a.run)
  call('HDEL', r, 'error', 'code', 'cancel_requested', 'wakes_at')
  -- A run that its owner has let go begins anew.
  if known[4] then call('HINCRBY', r, 'takeovers', 1) else call('HDEL', r, 'takeovers') end
  call('HSET', r, 'owner', a.owner)
  call('SREM', key('X'), a.run)
  call('ZREM', key('W', known[6]), a.run)
  touch(a.run, known, 'running')
  return {'ok', call('HGETALL', r)}
end

ops.load = function()
  return {'ok', call('HGETALL', key('r', a.run)), call('LRANGE', key('j', a.run), 0, -1)}
end

ops.list = function()
  local indexes = {key('R')}
  if a.user or a.unowned then indexes[#indexes + 1] = index_of_user('R', a.user) end
  if a.session then indexes[#indexes + 1] = key('Rs', a.session) end
  if a.status then indexes[#indexes + 1] = key('Rt', a.status) end
  local index, least = nil, nil
  for _, each in ipairs(indexes) do
    local count = call('ZCARD', each)
    if not least or count < least then index, least = each, count end
  end
  local rows, place, rank, read, some = {}, a.before, nil, 0, nil
  -- At least one run further at each call, however many have one time.
  while #rows < a.limit and (read < 10000 or place == a.before) do
    some, rank = read_index(index, a.before, rank, 200)
    if #some == 0 then return {'ok', false, rows} end
    for _, run in ipairs(some) do
      local known = read_places(run)
      read = read + 1
      local here = place_of(run, known[7])
      if known[1] and (not a.before or is_after(here, a.before)) then
        place = here
        if (not a.status or known[1] == a.status) and (not a.session or known[2] == a.session)
            and (not (a.user or a.unowned) or (known[3] or nil) == a.user) then
          rows[#rows + 1] = {run, call('HGETALL', key('r', run))}
        end
      end
      if #rows == a.limit then break end
    end
  end
  return {'ok', place, rows}
end

ops.of_request = function()
  local rows = {}
  for _, run in ipairs(call('SMEMBERS', key('Rq', a.request))) do rows[#rows + 1] = {run, call('HGETALL', key('r', run))} end
  return {'ok', rows}
end

-- rc:ID also has the runs with the earlier journals of a run, which are not within it.
ops.within = function()
  local rows = {}
  for _, around in ipairs(a.runs) do
    for _, run in ipairs(call('SMEMBERS', key('rc', around))) do
      if call('HGET', key('r', run), 'parent') == around then
        rows[#rows + 1] = {run, call('HGETALL', key('r', run))}
      end
    end
  end
  return {'ok', rows}
end

ops.outline = function()
  local rows, place, rank, some = {}, nil, nil, nil
  repeat
    some, rank = read_index(key('R'), a.after, rank, 1000)
    for _, run in ipairs(some) do
      local known = call('HMGET', key('r', run), 'status', 'parent', 'updated')
      local here = place_of(run, known[3])
      if known[1] and (not a.after or is_after(here, a.after)) then
        place = here
        rows[#rows + 1] = {run, known}
      end
    end
  until place or #some == 0
  return {'ok', NOW, place or false, rows}
end

ops.cancel = function()
  local known = read_places(a.run)
  if not known[1] then return {'unknown'} end
  if OVER[known[1]] then return {'ok', 0} end
  call('HSET', key('r', a.run), 'cancel_requested', '1')
  -- Nobody is there to cancel a run without an owner, so it is over at once.
  if known[4] then
    call('SADD', key('X'), a.run)
    touch(a.run, known)
    call('PUBLISH', key('q'), a.run)
  else
    call('ZREM', key('W', known[6]), a.run)
    touch(a.run, known, 'cancelled')
    call('PUBLISH', key('e', a.run), '')
  end
  return {'ok', 1}
end

ops.cancels = function()
  return {'ok', call('SMISMEMBER', key('X'), unpack(a.runs))}
end

ops.delete = function()
  if call('EXISTS', key('r', a.run)) == 0 then return {'ok', 0} end
  for _, run in ipairs(list_tree(a.run)) do forget_run(run) end
  return {'ok', 1}
end

-- Forgets runs that were found to be over. A run that somebody has resumed meanwhile stays.
ops.prune = function()
  local forgotten = {}
  for _, run in ipairs(a.runs) do
    local tree, is_over = list_tree(run), call('EXISTS', key('r', run)) == 1
    for _, each in ipairs(tree) do
      local status = call('HGET', key('r', each), 'status')
      if status and not OVER[status] then is_over = false end
    end
    if is_over then
      for _, each in ipairs(tree) do forget_run(each) end
      forgotten[#forgotten + 1] = run
    end
  end
  return {'ok', forgotten}
end
