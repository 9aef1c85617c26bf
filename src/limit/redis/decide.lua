-- One decision on all limits of a call: each of them passes, or nothing is taken.
--
-- KEYS: two for each limit: its own, and its twin (the same quota of requests in its other form; else the same again).
-- ARGV: five for each limit: kind, a, b, c, d
--   b  bucket       a refill a minute, b what it holds, c cost
--   w  window       a most in 60 s, d a name for this call
--   f  in flight    a most, b milliseconds until a place is free even if nobody frees it, d a name for this call
--   a  assumed      the same as s, but it passes if anything is left
--   s  spent        a most, b cost, c seconds until it may be forgotten, d microseconds until the period is over
-- Gives: the first limit that refuses (0: none), microseconds to wait, of the first limit (a quota of requests) what
-- remains and the microseconds until it is whole, and for each limit what its bucket has used now, or the money
-- that was spent before this call (0: it is neither).
-- A bucket is a hash: `u` used, `t` when that was true, in microseconds of this server's clock; other fields are leases.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local minute = 60000000

local function used_of(key, rate)
  local s = redis.call('HMGET', key, 'u', 't')
  if not s[1] then return nil, now end
  local at = math.max(tonumber(s[2]), now)
  return math.max(0, s[1] - (at - s[2]) * rate / minute), at
end

local failed, wait, remaining, reset = 0, 0, 0, 0
local plan = {}
for i = 1, #KEYS / 2 do
  local key, twin, p = KEYS[2 * i - 1], KEYS[2 * i], (i - 1) * 5
  local kind, a, b, c = ARGV[p + 1], tonumber(ARGV[p + 2]), tonumber(ARGV[p + 3]), tonumber(ARGV[p + 4])
  local over, left, whole = 0, 0, 0
  if kind == 'b' then
    local used, at = used_of(key, a)
    if not used then
      used = 0
      if twin ~= key then
        used = redis.call('ZCOUNT', twin, now - minute, '+inf')
        if used > 0 then
          redis.call('HSET', key, 'u', used, 't', now)
          redis.call('DEL', twin)
        end
      end
    end
    -- A smaller quota than before cannot owe more calls than all of itself; tokens may.
    if twin ~= key then used = math.min(used, b) end
    over = used + c - b
    if over > 0 then over = math.max(1, math.ceil(over * minute / a)) else used = used + c end
    plan[i] = { used, at }
    left, whole = math.floor(b - used), math.ceil(used * minute / a)
  elseif kind == 'w' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - minute)
    local count = redis.call('ZCARD', key)
    if count == 0 then
      local used = used_of(twin, a)
      if used then
        count = math.min(a, math.ceil(used))
        for n = 1, count do redis.call('ZADD', key, now, 'twin' .. n) end
        redis.call('PEXPIRE', key, 61000)
        redis.call('DEL', twin)
      end
    end
    whole = minute
    if count + 1 > a then
      local first = redis.call('ZRANGE', key, count - a, count - a, 'WITHSCORES')
      over = math.max(1, first[2] + minute - now)
      local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
      whole = last[2] + minute - now
    else
      count = count + 1
    end
    left = a - count
  elseif kind == 'f' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= a then over = 1000000 end
  else
    local spent = tonumber(redis.call('GET', key) or '0')
    plan[i] = { math.max(0, spent) }
    if spent >= a or (kind == 's' and spent + math.min(b, a) > a) then over = math.max(1, tonumber(ARGV[p + 5])) end
  end
  if i == 1 then remaining, reset = math.max(0, left), whole end
  if over > 0 then
    failed, wait = i, over
    break
  end
end

local after = {}
if failed == 0 then
  for i = 1, #KEYS / 2 do
    local key, p = KEYS[2 * i - 1], (i - 1) * 5
    local kind, a, b, c, d = ARGV[p + 1], tonumber(ARGV[p + 2]), ARGV[p + 3], ARGV[p + 4], ARGV[p + 5]
    after[i] = plan[i] and math.floor(plan[i][1]) or 0
    if kind == 'b' then
      redis.call('HSET', key, 'u', plan[i][1], 't', plan[i][2])
      redis.call('PEXPIRE', key, math.ceil(plan[i][1] * 60000 / a) + 60000)
    elseif kind == 'w' then
      redis.call('ZADD', key, now, d)
      redis.call('PEXPIRE', key, 61000)
    elseif kind == 'f' then
      redis.call('ZADD', key, now + b * 1000, d)
      -- All places of a subject are in one set: a short call must not take the places of long ones with it.
      if redis.call('PTTL', key) < tonumber(b) then redis.call('PEXPIRE', key, b) end
    elseif b ~= '0' then
      redis.call('INCRBY', key, b)
      redis.call('EXPIRE', key, c)
    end
  end
end
return { failed, wait, remaining, reset, after }
