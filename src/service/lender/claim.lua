-- What a machine says it used of one bucket, and what it gets of it: as traffic/bank.rs does it, by the clock of the
-- store.
--
-- KEYS[1]: the bucket: when it will be full, in microseconds. A bucket that is full has no key.
-- ARGV: tokens used (below zero: given back); tokens wanted; tokens that come together; microseconds that one token
-- takes to come, and that an empty bucket takes to be full; microseconds that this one lacked, as who asks heard last:
-- a store that forgot it, because it ended, need not begin with a full one.
-- Tokens lent; tokens left; microseconds until some come together, or one; microseconds until it is full.
local used, wanted, block = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, full, lacked = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local at = tonumber(redis.call('GET', KEYS[1]) or now + lacked) or now
-- Nobody owes more than a day, and some fillings: a clock that was ahead once is not believed for ever.
at = math.min(at, now + 16 * full + 86400000000)
local function tokens()
    return math.max(0, math.floor((full - math.max(0, at - now)) / cost + 0.001))
end
local function after(count)
    return math.max(0, math.max(at, now) + count * cost - full - now)
end
if used > 0 then
    at = math.max(at, now) + used * cost
elseif used < 0 then
    at = at + used * cost
end
local lent = math.min(tokens(), wanted)
if lent > 0 then
    at = math.max(at, now) + lent * cost
end
if at > now then
    redis.call('SET', KEYS[1], string.format('%.0f', at))
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((at - now) / 1000) + 1000))
else
    redis.call('DEL', KEYS[1])
end
local wait = math.max(after(1), math.min(after(math.max(block, 1)), 1000000))
return { lent, tokens(), math.ceil(wait), math.ceil(math.max(0, at - now)) }
