-- A write that is sent again, as its answer was lost with a connection, gets the first answer and is not done twice.
if OP == '' then return ops[NAME]() end
local answered = call('GET', key('o', OP))
if answered then return cmsgpack.unpack(answered) end
local reply = ops[NAME]()
if reply[1] == 'ok' then call('SET', key('o', OP), cmsgpack.pack(reply), 'PX', 60000) end
return reply
