-- E owners by the end of their leases; e:RUN the events of a run, whose last writer is a field of the run.
ops.renew_lease = function()
  local ends = call('ZSCORE', key('E'), a.owner)
  if ends and tonumber(ends) <= tonumber(NOW) then return {'ok', 0} end
  call('ZADD', key('E'), NOW + a.seconds, a.owner)
  -- An ended lease is kept for an hour, so that an owner that was halted meanwhile finds it ended.
  call('ZREMRANGEBYSCORE', key('E'), '-inf', NOW - 3600)
  return {'ok', 1}
end

local function has_lease(owner)
  local ends = call('ZSCORE', key('E'), owner)
  return ends and tonumber(ends) > tonumber(NOW)
end

ops.release_lease = function()
  if has_lease(a.owner) then call('ZADD', key('E'), NOW, a.owner) end
  return {'ok'}
end

ops.leased = function()
  local found = {}
  for at, owner in ipairs(a.owners) do found[at] = has_lease(owner) and 1 or 0 end
  return {'ok', found}
end

ops.lost = function()
  local agents, leased, rows, from, read = {}, {}, {}, a.from, 0
  for _, agent in ipairs(a.agents) do agents[agent] = true end
  while #rows < a.limit and read < 10000 do
    local some = call('ZRANGE', key('Rt', 'running'), from, from + 199)
    if #some == 0 then return {'ok', false, rows} end
    for at = 1, #some do
      from, read = from + 1, read + 1
      local known = call('HMGET', key('r', some[at]), 'owner', 'agent', 'parent')
      local owner, parent = known[1], known[3]
      if owner and agents[known[2]] then
        if leased[owner] == nil then leased[owner] = has_lease(owner) or false end
        local around = parent and call('HGET', key('r', parent), 'status')
        if not leased[owner] and around ~= 'running' and around ~= 'paused' then
          rows[#rows + 1] = {some[at], call('HGETALL', key('r', some[at]))}
        end
      end
      if #rows == a.limit then break end
    end
  end
  return {'ok', from, rows}
end

local function read_log(run)
  local known = call('HMGET', key('r', run), 'status', 'owner', 'writer')
  return known[1], known[2], known[3], call('LLEN', key('e', run))
end

ops.log = function()
  local status, owner, writer, last = read_log(a.run)
  if not status then return {'unknown'} end
  local stored = last + 1 - a.first
  if (owner ~= a.owner and (owner or writer ~= a.owner)) or a.first < 1 or stored < 0
      or (stored > 0 and writer ~= a.owner) then
    return {'log', owner, writer, last}
  end
  if stored < #a.events then
    local new = {}
    for at = stored + 1, #a.events do new[#new + 1] = a.events[at] end
    push(key('e', a.run), new)
    call('HSET', key('r', a.run), 'writer', a.owner)
    call('PUBLISH', key('e', a.run), '')
  end
  return {'ok'}
end

ops.events = function()
  if call('EXISTS', key('r', a.run)) == 0 then return {'unknown'} end
  return {'ok', call('LRANGE', key('e', a.run), a.after, a.after + a.limit - 1)}
end

ops.log_now = function()
  local status, owner, _, last = read_log(a.run)
  if not status then return {'unknown'} end
  return {'ok', owner and 1 or 0, last}
end
