-- kd:N a document's fields, km:N its metadata, kc:N its chunks, kx:N their words; kn the numbers of documents by user and
-- source; kS documents in their order; kw:WORD chunks with the word, by its count; kl the lengths of chunks; kz all chunks
-- in the order of putting; kp:SPACE those without a vector, kv:SPACE the vectors, ks the spaces. kg old or unfinished
-- documents, to clean up. A chunk is known by its document's number and its own: `12:3`.
local BATCH = 500

local function number_of(chunk)
  return string.match(chunk, '^(%d+):')
end

local function is_live(doc)
  return call('HEXISTS', key('kd', doc), 'live') == 1
end

-- The law of `Filter.fits`, on the texts that stand for values.
local function make_filter(only)
  local known = {}
  return function(doc)
    if known[doc] ~= nil then return known[doc] end
    local found = call('HMGET', key('kd', doc), 'live', 'user', 'source')
    local user, source = found[2], found[3]
    local fits = found[1] and (only.all_users or (user and user == only.user) or (not user and only.shared))
    fits = fits and string.sub(source, 1, #only.prefix) == only.prefix
    for name, values in pairs(only.metadata) do
      local have = fits and call('HGET', key('km', doc), name)
      local is_one = false
      for _, value in ipairs(values) do is_one = is_one or have == value end
      fits = fits and is_one
    end
    known[doc] = fits or false
    return known[doc]
  end
end

local INFO = {'source', 'user', 'title', 'media_type', 'metadata', 'digest', 'chunks', 'characters', 'added'}

local function read_info(doc)
  return call('HMGET', key('kd', doc), unpack(INFO))
end

local function read_hit(chunk, score)
  local doc, number = string.match(chunk, '^(%d+):(%d+)$')
  return {call('HGET', key('kc', doc), number), tostring(score), read_info(doc)}
end

ops.begin = function()
  local doc = call('HINCRBY', key('n'), 'documents', 1)
  call('ZADD', key('kg'), NOW, doc)
  return {'ok', doc}
end

ops.stage = function()
  local spaces = call('SMEMBERS', key('ks'))
  for _, chunk in ipairs(a.chunks) do
    local id = a.doc .. ':' .. chunk.number
    call('HSET', key('kc', a.doc), chunk.number, chunk.body)
    call('HSET', key('kx', a.doc), chunk.number, chunk.words)
    call('HSET', key('kl'), id, chunk.length)
    local words = cmsgpack.unpack(chunk.words)
    for at = 1, #words, 2 do call('ZADD', key('kw', words[at]), words[at + 1], id) end
    local order = a.doc * 1e6 + chunk.number
    call('ZADD', key('kz'), order, id)
    for _, space in ipairs(spaces) do call('ZADD', key('kp', space), order, id) end
  end
  return {'ok'}
end

local function hide(doc)
  local found = call('HMGET', key('kd', doc), 'member', 'chunks', 'length')
  call('HDEL', key('kd', doc), 'live')
  call('ZREM', key('kS'), found[1])
  call('ZADD', key('kg'), 0, doc)
  call('HINCRBY', key('n'), 'chunks', -found[2])
  call('HINCRBY', key('n'), 'words', -found[3])
end

ops.publish = function()
  local old = call('HGET', key('kn'), a.member)
  if old then hide(old) end
  call('HSET', key('kd', a.doc), unpack(a.fields))
  call('HSET', key('kd', a.doc), 'live', '1', 'added', NOW, 'member', a.member)
  if #a.metadata > 0 then call('HSET', key('km', a.doc), unpack(a.metadata)) end
  call('HSET', key('kn'), a.member, a.doc)
  call('ZADD', key('kS'), 0, a.member)
  call('ZREM', key('kg'), a.doc)
  call('HINCRBY', key('n'), 'chunks', a.chunks)
  call('HINCRBY', key('n'), 'words', a.length)
  return {'ok'}
end

ops.remove = function()
  local count = 0
  for _, member in ipairs(a.members) do
    local doc = call('HGET', key('kn'), member)
    if doc then
      hide(doc)
      call('HDEL', key('kn'), member)
      count = count + 1
    end
  end
  return {'ok', count}
end

-- Cleans up a part of a hidden document: the server answers others between two parts.
ops.clean = function()
  local docs = call('ZRANGEBYSCORE', key('kg'), '-inf', NOW - 3600, 'LIMIT', 0, 1)
  if #docs == 0 then return {'ok', 0} end
  local doc = docs[1]
  local found, spaces = call('HSCAN', key('kx', doc), '0', 'COUNT', BATCH)[2], call('SMEMBERS', key('ks'))
  for at = 1, #found, 2 do
    local id, words = doc .. ':' .. found[at], cmsgpack.unpack(found[at + 1])
    for word = 1, #words, 2 do call('ZREM', key('kw', words[word]), id) end
    call('HDEL', key('kl'), id)
    call('ZREM', key('kz'), id)
    for _, space in ipairs(spaces) do
      if call('ZREM', key('kp', space), id) == 0 and call('EXISTS', key('kv', space)) == 1 then
        call('VREM', key('kv', space), id)
      end
    end
    call('HDEL', key('kx', doc), found[at])
  end
  if call('HLEN', key('kx', doc)) == 0 then
    call('UNLINK', key('kd', doc), key('km', doc), key('kc', doc), key('kx', doc))
    call('ZREM', key('kg'), doc)
  end
  return {'ok', 1}
end

ops.digests = function()
  local found = {}
  for at, member in ipairs(a.members) do
    local doc = call('HGET', key('kn'), member)
    found[at] = doc and call('HGET', key('kd', doc), 'digest')
  end
  return {'ok', found}
end

-- A part of a document's chunks, with the document's number, which a new version changes.
ops.document = function()
  local doc = call('HGET', key('kn'), a.member)
  if not doc then return {'unknown'} end
  local numbers, rows = {}, {}
  local count = tonumber(call('HGET', key('kd', doc), 'chunks'))
  for number = a.from, math.min(count, a.from + BATCH) - 1 do numbers[#numbers + 1] = number end
  if #numbers > 0 then rows = call('HMGET', key('kc', doc), unpack(numbers)) end
  return {'ok', doc, read_info(doc), rows}
end

ops.documents = function()
  local fits, rows, from = make_filter(a.only), {}, a.from or '-'
  for _ = 1, 20 do
    local some = call('ZRANGEBYLEX', key('kS'), from, '+', 'LIMIT', 0, BATCH)
    if #some == 0 then return {'ok', false, rows} end
    for _, member in ipairs(some) do
      from = '(' .. member
      local doc = call('HGET', key('kn'), member)
      if fits(doc) then rows[#rows + 1] = read_info(doc) end
      if #rows == a.limit then return {'ok', false, rows} end
    end
  end
  return {'ok', from, rows}
end

-- BM25, as Robertson and Zaragoza give it in "The Probabilistic Relevance Framework" (2009), with k1 = 1.2 and b = 0.75.
ops.words = function()
  local fits, scores, found = make_filter(a.only), {}, {}
  local total = math.max(tonumber(call('HGET', key('n'), 'chunks') or 0), 1)
  local average = math.max(tonumber(call('HGET', key('n'), 'words') or 0) / total, 1)
  for _, word in ipairs(a.words) do
    local having = call('ZRANGE', key('kw', word), 0, -1, 'WITHSCORES')
    local weight = math.log(1 + math.max(total - #having / 2 + 0.5, 0.5) / (#having / 2 + 0.5))
    for at = 1, #having, 2 do
      local id, count = having[at], tonumber(having[at + 1])
      if fits(number_of(id)) then
        local length = tonumber(call('HGET', key('kl'), id) or average)
        local share = count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / average))
        scores[id] = (scores[id] or 0) + weight * share
      end
    end
  end
  for id, score in pairs(scores) do found[#found + 1] = {id, score} end
  table.sort(found, function(one, other)
    if one[2] ~= other[2] then return one[2] > other[2] end
    return one[1] < other[1]
  end)
  local rows = {}
  for at = 1, math.min(#found, a.limit) do rows[at] = read_hit(found[at][1], found[at][2]) end
  return {'ok', rows}
end

-- A part of all chunks that fit, for signs that are no words.
ops.chunks = function()
  local fits, rows = make_filter(a.only), {}
  local some = call('ZRANGE', key('kz'), a.from, a.from + BATCH - 1)
  for _, id in ipairs(some) do
    if fits(number_of(id)) then rows[#rows + 1] = read_hit(id, 1) end
  end
  return {'ok', #some, rows}
end

ops.pending = function()
  if call('SADD', key('ks'), a.space) == 1 then call('ZUNIONSTORE', key('kp', a.space), 1, key('kz')) end
  local rows, at = {}, 0
  while #rows < a.limit do
    local some = call('ZRANGE', key('kp', a.space), at, at + BATCH - 1)
    if #some == 0 then break end
    for _, id in ipairs(some) do
      local doc, number = string.match(id, '^(%d+):(%d+)$')
      if is_live(doc) then rows[#rows + 1] = {id, call('HGET', key('kc', doc), number)} end
      if #rows == a.limit then break end
    end
    at = at + BATCH
  end
  return {'ok', rows}
end

local function dimensions(space)
  local vectors = key('kv', space)
  return call('EXISTS', vectors) == 1 and call('VDIM', vectors) or false
end

ops.add_vectors = function()
  local known = dimensions(a.space)
  if known and known ~= a.dimensions then return {'dimensions', known} end
  local count = 0
  for at, id in ipairs(a.ids) do
    if call('ZSCORE', key('kp', a.space), id) and is_live(number_of(id)) then
      call('VADD', key('kv', a.space), 'FP32', a.vectors[at], id, 'NOQUANT')
      call('ZREM', key('kp', a.space), id)
      count = count + 1
    end
  end
  return {'ok', count}
end

ops.remove_vectors = function()
  local count = dimensions(a.space) and call('VCARD', key('kv', a.space)) or 0
  call('UNLINK', key('kv', a.space), key('kp', a.space))
  call('SREM', key('ks'), a.space)
  return {'ok', count}
end

-- Up to a.exact vectors are compared one by one. Beyond, the graph of the server answers first, and one by one is the
-- way if the filter leaves too few of its answers.
ops.vectors = function()
  local vectors, known = key('kv', a.space), dimensions(a.space)
  if not known then return {'ok', {}} end
  if known ~= a.dimensions then return {'dimensions', known} end
  local fits, size, rows = make_filter(a.only), call('VCARD', vectors), {}
  for _, exact in ipairs(size > a.exact and {false, true} or {true}) do
    local asked = {vectors, 'FP32', a.vector, 'WITHSCORES', 'COUNT', exact and size or 10 * a.limit}
    if exact then asked[#asked + 1] = 'TRUTH' end
    local found = call('VSIM', unpack(asked))
    rows = {}
    for at = 1, #found, 2 do
      if #rows == a.limit then break end
      -- The server's similarity is from 0 to 1, and the cosine from -1 to 1.
      if fits(number_of(found[at])) then rows[#rows + 1] = read_hit(found[at], 2 * tonumber(found[at + 1]) - 1) end
    end
    if #rows == a.limit then break end
  end
  return {'ok', rows}
end

ops.statistics = function()
  local spaces = {}
  for _, space in ipairs(call('SMEMBERS', key('ks'))) do
    if call('EXISTS', key('kv', space)) == 1 then spaces[#spaces + 1] = {space, call('VCARD', key('kv', space))} end
  end
  return {'ok', call('HLEN', key('kn')), tonumber(call('HGET', key('n'), 'chunks') or 0), spaces}
end
