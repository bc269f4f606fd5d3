-- The beginning of every script. KEYS[1] is the prefix of all keys, `{name}:`, whose braces keep a store in one slot.
-- ARGV: the id of a write, or '' for a read; the operation's name; its arguments as MessagePack.
local P, OP, NAME = KEYS[1], ARGV[1], ARGV[2]
local a = cmsgpack.unpack(ARGV[3])
local call = redis.call
local time = call('TIME')
local NOW = string.format('%d.%06d', time[1], time[2])
local ops = {}

-- The kinds hold no colon, so that no name of a session, run or user can make the key of another kind.
local function key(kind, name)
  return P .. kind .. ':' .. (name or '')
end

local function index_of_user(kind, user)
  if user then return key(kind .. 'u', user) end
  return key(kind .. 'n')
end

-- Lua passes some 8,000 values to a function at most.
local function push(list, items)
  for at = 1, #items, 1000 do
    call('RPUSH', list, unpack(items, at, math.min(at + 999, #items)))
  end
end
