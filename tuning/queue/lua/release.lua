-- Gives a lease back, if it is still the caller's.
-- KEYS leases, owners, queue, tenants  ARGV job, token, delay in ms, 'drop' or '', channel
-- With a delay the job stays leased to no one for that long; its worker, if it still
-- lives, may take it back. 'drop' takes the job out of the queue.
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
if ARGV[4] == 'drop' then
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[4], ARGV[1])
  return 1
end
local delay = tonumber(ARGV[3])
if delay > 0 then
  local t = redis.call('TIME')
  local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + delay), ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('PUBLISH', ARGV[5], 'wake')
end
return 1
