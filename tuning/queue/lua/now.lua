-- The clock that leases run by: of the server that has them.
-- KEYS leases
-- Returns milliseconds.
local t = redis.call('TIME')
return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
