-- Signals, early approvals, new journals and times to wake. A signal is its time, the length of its name, name and value.
ops.send = function()
  local status = call('HGET', key('r', a.run), 'status')
  if not status then return {'unknown'} end
  if status == 'completed' then return {'completed'} end
  call('RPUSH', key('g', a.run), NOW .. ' ' .. #a.name .. ' ' .. a.name .. a.value)
  call('PUBLISH', key('q'), a.run)
  return {'ok', status}
end

ops.signals = function()
  if call('EXISTS', key('r', a.run)) == 0 then return {'unknown'} end
  return {'ok', call('LRANGE', key('g', a.run), a.after, -1)}
end

ops.count = function()
  local counts = {}
  for at, run in ipairs(a.runs) do counts[at] = call('LLEN', key('g', run)) end
  return {'ok', counts}
end

ops.ask = function()
  local known, refused = read_owned(a.run, a.owner)
  refused = refused or refuse_approvals(a.run, a.approvals)
  if refused then return refused end
  add_approvals(a.run, known[3], a.approvals)
  return {'ok'}
end

local function hand_over(run, to)
  for _, child in ipairs(call('SMEMBERS', key('rc', run))) do
    for _, field in ipairs({'parent', 'continued_by'}) do
      if call('HGET', key('r', child), field) == run then call('HSET', key('r', child), field, to) end
    end
  end
  for _, id in ipairs(call('ZRANGE', key('ra', run), 0, -1)) do
    withdraw(id)
    call('HSET', key('a', id), 'run', to)
  end
  for _, kind in ipairs({'rc', 'ra', 'j'}) do
    if call('EXISTS', key(kind, run)) == 1 then call('RENAME', key(kind, run), key(kind, to)) end
  end
end

local function share_signals(run, to)
  local all, taken, moved, left = call('LRANGE', key('g', run), 0, -1), {}, {}, {}
  for _, seq in ipairs(a.taken) do taken[seq] = true end
  for seq, signal in ipairs(all) do
    local list = taken[seq] and moved or left
    list[#list + 1] = signal
  end
  call('DEL', key('g', run))
  push(key('g', to), moved)
  push(key('g', run), left)
end

ops.renew = function()
  local known, refused = read_owned(a.run, a.owner)
  refused = refused or refuse_order(known, {a.last}, a.first)
  if refused then return refused end
  if call('EXISTS', key('r', a.archive)) == 1 then return {'taken'} end
  local fields, r = {}, key('r', a.run)
  local old = call('HGETALL', r)
  local changed = {owner = 0, cancel_requested = 0, status = 0, updated = 0, continued_by = 0, writer = 0}
  for at = 1, #old, 2 do
    if not changed[old[at]] then
      fields[#fields + 1] = old[at]
      fields[#fields + 1] = old[at + 1]
    end
  end
  for _, value in ipairs({'status', 'completed', 'updated', NOW, 'continued_by', a.run}) do
    fields[#fields + 1] = value
  end
  hand_over(a.run, a.archive)
  add_run(a.archive, fields)
  add_entries(a.archive, {a.last})
  share_signals(a.run, a.archive)
  call('HSET', r, 'entries', '0', 'input', a.input, 'continues', a.archive)
  call('HDEL', r, 'takeovers')
  add_entries(a.run, {a.next})
  touch(a.run, known)
  return {'ok'}
end

ops.due = function()
  local found = {}
  for _, agent in ipairs(a.agents) do
    local some = call('ZRANGEBYSCORE', key('W', agent), '-inf', a.before, 'WITHSCORES', 'LIMIT', 0, a.limit)
    for at = 1, #some, 2 do found[#found + 1] = {some[at], tonumber(some[at + 1])} end
  end
  table.sort(found, function(one, other) return one[2] < other[2] end)
  local rows = {}
  for at = 1, math.min(#found, a.limit) do rows[at] = {found[at][1], call('HGETALL', key('r', found[at][1]))} end
  return {'ok', rows}
end
