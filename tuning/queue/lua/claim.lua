-- Leases the first job that nobody works on.
-- KEYS leases, owners, epoch, queue...  ARGV token, lease in ms
-- Returns {job, how its last lease ended, which queue}: 'none' there was none,
-- 'expired' it ran out. {'', 'empty', 0}: this Redis has lost its data; {'', '', 0}:
-- no work.
if redis.call('EXISTS', KEYS[3]) == 0 then
  return {'', 'empty', '0'}
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
for q = 4, #KEYS do
  local from = 0
  while true do
    local jobs = redis.call('ZRANGE', KEYS[q], from, from + 31)
    if #jobs == 0 then
      break
    end
    for _, job in ipairs(jobs) do
      local till = redis.call('ZSCORE', KEYS[1], job)
      if not till or tonumber(till) <= now then
        redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), job)
        redis.call('HSET', KEYS[2], job, ARGV[1])
        return {job, till and 'expired' or 'none', tostring(q - 4)}
      end
    end
    from = from + 32
  end
end
return {'', '', '0'}
