-- f:USER the fields of a user's facts, each named by a letter and the fact's id; fk:USER ids by the key that equal facts
-- share; fz:USER ids in the order of changes; F the users with facts.
local f, fk, fz = key('f', a.user), key('fk', a.user), key('fz', a.user)

local function row(id)
  return {id, unpack(call('HMGET', f, 'x' .. id, 'i' .. id, 'c' .. id, 'u' .. id))}
end

local function unknown()
  return {'unknown', call('ZRANGE', fz, 0, -1)}
end

local function add(id, fact, step)
  call('SADD', key('F'), a.user)
  call('HSET', f, 'x' .. id, fact.text, 'i' .. id, fact.info, 'k' .. id, fact.key)
  call('HSET', f, 'c' .. id, fact.created or NOW, 'u' .. id, fact.updated or NOW)
  call('HSET', fk, fact.key, id)
  call('ZADD', fz, step, id)
end

local function next_step()
  return call('HINCRBY', f, 'steps', 1)
end

ops.remember = function()
  local known = call('HGET', fk, a.key)
  if known then return {'ok', row(known)} end
  if call('ZCARD', fz) >= a.most then return {'full'} end
  local step = next_step()
  local id = 'f' .. step
  add(id, a, step)
  return {'ok', row(id)}
end

ops.list = function()
  local rows = {}
  for _, id in ipairs(call('ZREVRANGE', fz, 0, a.limit - 1)) do rows[#rows + 1] = row(id) end
  return {'ok', rows}
end

ops.correct = function()
  local old = call('HGET', f, 'k' .. a.id)
  if not old then return unknown() end
  local same = call('HGET', fk, a.key)
  if same and same ~= a.id then return {'duplicate', same} end
  call('HDEL', fk, old)
  call('HSET', fk, a.key, a.id)
  call('HSET', f, 'x' .. a.id, a.text, 'u' .. a.id, NOW, 'k' .. a.id, a.key)
  call('ZADD', fz, next_step(), a.id)
  return {'ok', row(a.id)}
end

ops.forget = function()
  if not a.id then
    local count = call('ZCARD', fz)
    call('UNLINK', f, fk, fz)
    call('SREM', key('F'), a.user)
    return {'ok', count}
  end
  local old = call('HGET', f, 'k' .. a.id)
  if not old then return unknown() end
  call('HDEL', fk, old)
  call('HDEL', f, 'x' .. a.id, 'i' .. a.id, 'c' .. a.id, 'u' .. a.id, 'k' .. a.id)
  call('ZREM', fz, a.id)
  if call('ZCARD', fz) == 0 then call('SREM', key('F'), a.user) end
  return {'ok', 1}
end

ops.import = function()
  local count = 0
  for _, fact in ipairs(a.facts) do
    if not call('HGET', f, 'k' .. fact.id) and not call('HGET', fk, fact.key) then
      local step, number = next_step(), tonumber(string.match(fact.id, '^f(%d+)$') or 0)
      -- No new fact gets the id.
      if number > step and number < 2 ^ 53 then
        step = number
        call('HSET', f, 'steps', string.format('%d', number))
      end
      add(fact.id, fact, step)
      count = count + 1
    end
  end
  return {'ok', count}
end
