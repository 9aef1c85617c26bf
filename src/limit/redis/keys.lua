-- Gateway keys that replicas share: writes some, and reads all if something has changed.
--
-- KEYS: the keys (a hash of SHA-256 to record), and its version.
-- ARGV: the version that is known, and then pairs: SHA-256, record.
-- Gives: the version, and, if it is not the known one, all fields and values of the hash.
local written = 0
for at = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  written = written + 1
end
local version
if written > 0 then
  version = redis.call('INCRBY', KEYS[2], 1)
else
  version = tonumber(redis.call('GET', KEYS[2]) or '0')
end
if version == tonumber(ARGV[1]) then
  return { version, {} }
end
return { version, redis.call('HGETALL', KEYS[1]) }
