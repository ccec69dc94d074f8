-- Leases the next job that nobody works on. Tenants take turns: the one that has the
-- fewest jobs being worked on, of these the one whose last turn is the longest ago. Of a
-- tenant's own jobs the order of the queue says which.
-- KEYS leases, owners, epoch, tenants, turns, queue...  ARGV token, lease in ms
-- Returns {job, how its last lease ended, which queue}: 'none' there was none,
-- 'expired' it ran out. {'', 'empty', 0}: this Redis has lost its data; {'', '', 0}:
-- no work.
if redis.call('EXISTS', KEYS[3]) == 0 then
  return {'', 'empty', '0'}
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local busy, running = {}, {}
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')) do
  busy[job] = true
  if redis.call('HEXISTS', KEYS[2], job) == 1 then
    local tenant = redis.call('HGET', KEYS[4], job) or ''
    running[tenant] = (running[tenant] or 0) + 1
  end
end
for q = 6, #KEYS do
  local best, best_tenant, best_running, best_turn
  local seen = {}
  local from = 0
  while true do
    local jobs = redis.call('ZRANGE', KEYS[q], from, from + 99)
    if #jobs == 0 then
      break
    end
    local tenants = redis.call('HMGET', KEYS[4], unpack(jobs))
    for i, job in ipairs(jobs) do
      local tenant = tenants[i] or ''
      if not busy[job] and not seen[tenant] then
        seen[tenant] = true
        local n = running[tenant] or 0
        local turn = tonumber(redis.call('ZSCORE', KEYS[5], tenant) or '0')
        if not best or n < best_running or (n == best_running and turn < best_turn) then
          best, best_tenant, best_running, best_turn = job, tenant, n, turn
        end
      end
    end
    from = from + #jobs
  end
  if best then
    local last = redis.call('ZREVRANGE', KEYS[5], 0, 0, 'WITHSCORES')
    redis.call('ZADD', KEYS[5], tonumber(last[2] or '0') + 1, best_tenant)
    redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -10001)
    local till = redis.call('ZSCORE', KEYS[1], best)
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), best)
    redis.call('HSET', KEYS[2], best, ARGV[1])
    return {best, till and 'expired' or 'none', tostring(q - 6)}
  end
end
return {'', '', '0'}
