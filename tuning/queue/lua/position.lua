-- KEYS queue, leases, tenants, turns  ARGV job
-- Returns how many waiting jobs come before this one if no job is added and one worker
-- takes them as claim.lua does; -1 when it is not waiting.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return -1
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local busy = {}
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', now), '+inf')) do
  busy[job] = true
end
local mine = redis.call('HGET', KEYS[3], ARGV[1]) or ''
local waiting, order, first = {}, {}, {} -- first: the place of a tenant's first job
local before = 0 -- of the same tenant
local found = false
local from = 0
while true do
  local jobs = redis.call('ZRANGE', KEYS[1], from, from + 99)
  if #jobs == 0 then
    break
  end
  local tenants = redis.call('HMGET', KEYS[3], unpack(jobs))
  for i, job in ipairs(jobs) do
    local tenant = tenants[i] or ''
    if not first[tenant] and (job == ARGV[1] or not busy[job]) then
      first[tenant] = from + i
    end
    if job == ARGV[1] then
      found = true
    elseif not busy[job] then
      if tenant ~= mine then
        if not waiting[tenant] then
          order[#order + 1] = tenant
        end
        waiting[tenant] = (waiting[tenant] or 0) + 1
      elseif not found then
        before = before + 1
      end
    end
  end
  from = from + #jobs
end
local function turn(tenant)
  return tonumber(redis.call('ZSCORE', KEYS[4], tenant) or '0')
end
local ahead = before
for _, tenant in ipairs(order) do
  -- Between two of our jobs every other tenant has one turn.
  local turns = before
  if turn(tenant) < turn(mine) or (turn(tenant) == turn(mine) and first[tenant] < first[mine]) then
    turns = turns + 1
  end
  ahead = ahead + math.min(waiting[tenant], turns)
end
return ahead
