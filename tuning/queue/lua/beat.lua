-- Extends a lease, or takes an ownerless one back: what Redis has forgotten is not
-- lost as long as its worker lives.
-- KEYS leases, owners, epoch, queue, tenants  ARGV job, token, lease in ms, score, tenant
-- Returns 'other' when another owns it; else 'held', 'adopted', or 'empty' when this
-- Redis has lost its data.
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if owner and owner ~= ARGV[2] then
  return 'other'
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3])), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[4], 'NX', ARGV[4], ARGV[1])
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[1], ARGV[5])
end
if redis.call('EXISTS', KEYS[3]) == 0 then
  return 'empty'
end
return owner and 'held' or 'adopted'
