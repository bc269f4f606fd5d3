-- a:ID an approval's fields; ra:RUN the approvals of a run; A, Au:USER, An all approvals, and Ap, Apu:USER, Apn those
-- that are stored as pending, all by a number that counts approvals.
local function read_approval(id)
  return {id, unpack(call('HMGET', key('a', id), 'run', 'status', 'body', 'created', 'expires', 'decided', 'decision'))}
end

-- Nobody writes when an approval's time passes: it is still stored as pending.
local function status_now(status, expires)
  if status == 'pending' and expires and tonumber(NOW) >= tonumber(expires) then return 'expired' end
  return status
end

local function refuse_approvals(run, asked)
  for _, each in ipairs(asked) do
    local of = call('HGET', key('a', each.id), 'run')
    if of and of ~= run then return {'approval', read_approval(each.id)} end
  end
end

local function add_approvals(run, user, asked)
  for _, each in ipairs(asked) do
    local id = key('a', each.id)
    if call('EXISTS', id) == 0 then
      local step = call('HINCRBY', key('n'), 'approvals', 1)
      call('HSET', id, 'run', run, 'status', each.status, 'body', each.body, 'created', each.created or NOW)
      if each.expires then call('HSET', id, 'expires', each.expires) end
      if each.decided then call('HSET', id, 'decided', each.decided, 'decision', each.decision) end
      call('ZADD', key('A'), step, each.id)
      call('ZADD', key('ra', run), step, each.id)
      call('ZADD', index_of_user('A', user), step, each.id)
      if each.status == 'pending' then
        call('ZADD', key('Ap'), step, each.id)
        call('ZADD', index_of_user('Ap', user), step, each.id)
      end
    end
  end
end

local function withdraw(id)
  local known = call('HMGET', key('a', id), 'status', 'expires')
  if known[1] and status_now(known[1], known[2]) == 'pending' then call('HSET', key('a', id), 'expires', NOW) end
end

local function forget_approvals(run, user)
  for _, id in ipairs(call('ZRANGE', key('ra', run), 0, -1)) do
    call('UNLINK', key('a', id))
    for _, index in ipairs({key('A'), key('Ap'), index_of_user('A', user), index_of_user('Ap', user)}) do
      call('ZREM', index, id)
    end
  end
  call('UNLINK', key('ra', run))
end

ops.withdraw = function()
  for _, id in ipairs(a.approvals) do withdraw(id) end
  return {'ok'}
end

ops.approvals = function()
  local wants_user = a.user or a.unowned
  local kind = (a.status == 'pending' or a.status == 'expired') and 'Ap' or 'A'
  local index = key(kind)
  if a.run then
    index = key('ra', a.run)
    if wants_user and (call('HGET', key('r', a.run), 'user') or nil) ~= a.user then return {'ok', NOW, false, {}} end
  elseif wants_user then
    index = index_of_user(kind, a.user)
  end
  local rows, from, read = {}, a.from or '-inf', 0
  while #rows < a.limit and read < 10000 do
    local some = call('ZRANGEBYSCORE', index, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 200)
    if #some == 0 then return {'ok', NOW, false, rows} end
    for at = 1, #some, 2 do
      from, read = '(' .. some[at + 1], read + 1
      local row = read_approval(some[at])
      if row[3] and (not a.status or status_now(row[3], row[6]) == a.status) then rows[#rows + 1] = row end
      if #rows == a.limit then break end
    end
  end
  return {'ok', NOW, from, rows}
end

ops.decide = function()
  local row = read_approval(a.id)
  if not row[2] then return {'unknown'} end
  if status_now(row[3], row[6]) ~= 'pending' then return {'decided', row, NOW} end
  call('HSET', key('a', a.id), 'status', a.status, 'decided', NOW, 'decision', a.decision)
  call('ZREM', key('Ap'), a.id)
  call('ZREM', index_of_user('Ap', call('HGET', key('r', row[2]), 'user')), a.id)
  return {'ok', read_approval(a.id)}
end
