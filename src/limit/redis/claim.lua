-- Claims something for one of several gateways, once.
--
-- KEYS: the claim. ARGV: who claims it, and for how many seconds.
-- Gives: 1 if it is theirs (now, or from before), 0 if it is another one's.
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return 0
