-- Appends events to a job's stream. Ids are the caller's and grow; an event that is
-- not newer than the newest is left out, so that repeating a call, or a step, changes
-- nothing.
-- KEYS stream, owners, live
-- ARGV job, token, prev, maxlen, ttl in s, live, channel, then id, type, time, data
--      of each event; id '+' is the next free one
-- token '' is anyone's. prev is the newest id that the caller knows to be there: ''
-- any, 'reset' begins the stream anew.
-- Returns 'ok', 'other' (the lease is another's) or 'lost' (prev is not there).
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[2] ~= '' and owner and owner ~= ARGV[2] then
  return 'other'
end
if ARGV[3] == 'reset' then
  redis.call('DEL', KEYS[1])
end
local function parse(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local ms, seq = 0, 0
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if newest[1] then
  ms, seq = parse(newest[1][1])
end
if ARGV[3] ~= '' and ARGV[3] ~= 'reset' then
  local pms, pseq = parse(ARGV[3])
  if ms < pms or (ms == pms and seq < pseq) then
    return 'lost'
  end
end
for i = 8, #ARGV, 4 do
  local id = ARGV[i]
  if id == '+' then
    id = string.format('%.0f-%.0f', ms, seq + 1)
  end
  local ims, iseq = parse(id)
  if ims > ms or (ims == ms and iseq > seq) then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], id,
      'type', ARGV[i + 1], 'time', ARGV[i + 2], 'data', ARGV[i + 3])
    ms, seq = ims, iseq
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[5])
end
if ARGV[6] ~= '' then
  redis.call('SET', KEYS[3], ARGV[6], 'EX', ARGV[5])
end
redis.call('PUBLISH', ARGV[7], 'job ' .. ARGV[1])
return 'ok'
