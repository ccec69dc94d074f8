-- Puts a job into its class's queue, unless it is there.
-- KEYS queue, classes, tenants  ARGV job, score, class, channel, tenant
-- Returns 1 when it was not there.
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[5])
end
local added = redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[3])
if added == 1 then
  redis.call('PUBLISH', ARGV[4], 'wake')
end
return added
