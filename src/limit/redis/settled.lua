-- The money that calls which are over have spent.
--
-- KEYS: the sums. Gives: each of them, in 10^-9 USD.
local sums = {}
for i = 1, #KEYS do
  sums[i] = tonumber(redis.call('GET', KEYS[i]) or '0')
end
return sums
