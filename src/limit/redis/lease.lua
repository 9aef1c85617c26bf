-- Takes several calls from a bucket at once, for one gateway to spend without asking again.
--
-- KEYS: the bucket, and its twin (see `decide.lua`).
-- ARGV: refill a minute, what the bucket holds, calls wanted, most that all gateways together may hold unspent,
--       milliseconds a lease lasts, this gateway's name, calls left of its last lease (they go back).
-- Gives: calls granted (one of them is for now, the others are leased), microseconds to wait where there is none, what
-- remains, and the microseconds until the bucket is whole.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key, rate, holds = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, allowance, ttl, own = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), 'l' .. ARGV[6]

local used, at, leased = 0, now, 0
local fields = redis.call('HGETALL', key)
for n = 1, #fields, 2 do
  local name, value = fields[n], fields[n + 1]
  if name == 'u' then
    used = tonumber(value)
  elseif name == 't' then
    at = tonumber(value)
  else
    -- A gateway's lease: how many, and until when.
    local many, till = string.match(value, '(%d+) (%d+)')
    if name == own or tonumber(till) <= now then
      redis.call('HDEL', key, name)
    else
      leased = leased + many
    end
  end
end
if #fields == 0 then
  used = redis.call('ZCOUNT', KEYS[2], now - 60000000, '+inf')
  redis.call('DEL', KEYS[2])
end
local later = math.max(at, now)
used = math.max(0, math.min(used, holds) - (later - at) * rate / 60000000 - ARGV[7])

local granted = math.min(wanted, math.floor(holds - used), math.max(1, allowance - leased + 1))
local wait = 0
if granted < 1 then
  granted = 0
  wait = math.max(1, math.ceil((used + 1 - holds) * 60000000 / rate))
end
used = used + granted
redis.call('HSET', key, 'u', used, 't', later)
if granted > 1 then redis.call('HSET', key, own, string.format('%d %.0f', granted - 1, now + ttl * 1000)) end
redis.call('PEXPIRE', key, math.ceil(used * 60000 / rate) + 60000)
return { granted, wait, math.max(0, math.floor(holds - used)), math.ceil(used * 60000000 / rate) }
