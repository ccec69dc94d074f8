-- Puts a job into its class's queue, unless it is there.
-- KEYS queue, classes  ARGV job, score, class, channel
-- Returns 1 when it was not there.
local added = redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[3])
if added == 1 then
  redis.call('PUBLISH', ARGV[4], 'wake')
end
return added
