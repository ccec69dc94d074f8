-- KEYS queue, leases  ARGV job
-- Returns how many waiting jobs come before this one; -1 when it is not waiting.
local rank = redis.call('ZRANK', KEYS[1], ARGV[1])
if not rank then
  return -1
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local ahead = rank
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', now), '+inf')) do
  local r = redis.call('ZRANK', KEYS[1], job)
  if r and r < rank then
    ahead = ahead - 1
  end
end
return ahead
