-- What calls came to, after they were reserved: one change for each key.
--
-- ARGV: three for each key: kind, a, b
--   b  bucket       a refill a minute, b tokens more than reserved (or less)
--   f  in flight    a the name of the call that is over
--   s  spent        a cost more than reserved (or less)
--   p  settled      a cost of the call, b seconds until the sum may be forgotten
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 1, #KEYS do
  local key, p = KEYS[i], (i - 1) * 3
  local kind, a, b = ARGV[p + 1], ARGV[p + 2], ARGV[p + 3]
  if kind == 'f' then
    redis.call('ZREM', key, a)
  elseif kind == 's' then
    -- A period that is over is not opened again.
    if redis.call('EXISTS', key) == 1 then redis.call('INCRBY', key, a) end
  elseif kind == 'p' then
    redis.call('INCRBY', key, a)
    redis.call('EXPIRE', key, b)
  else
    local s = redis.call('HMGET', key, 'u', 't')
    local used, at = 0, now
    if s[1] then
      at = math.max(tonumber(s[2]), now)
      used = math.max(0, s[1] - (at - s[2]) * a / 60000000)
    end
    used = math.max(0, used + b)
    redis.call('HSET', key, 'u', used, 't', at)
    redis.call('PEXPIRE', key, math.ceil(used * 60000 / a) + 60000)
  end
end
return 0
