-- What a lesson makes of an entry, as policy/ledger.rs says it: `after`.
--
-- KEYS[1]: the entry, "since until good bad" in seconds of the wall clock and counts.
-- ARGV: the second in which it was learnt; met, good or bad; when to forget it.
-- 1: the entry is not as it was before.
local now, about, ends = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if ends <= now then
    return 0
end
local since, till, good, bad = now, ends, 0, 0
local is_known = false
local text = redis.call('GET', KEYS[1])
if text then
    local s, u, g, b = string.match(text, '^(%d+) (%d+) (%d+) (%d+)$')
    if s and tonumber(u) > now then
        since, till, good, bad = tonumber(s), tonumber(u), tonumber(g), tonumber(b)
        is_known = true
    end
end
-- A clock that was ahead once is not believed for ever.
local is_ahead = since > now
since = math.min(since, now)
if about == 'met' then
    if is_known and not is_ahead then
        return 0
    end
else
    till = math.max(till, ends)
    if about == 'good' then
        good = math.min(good + 1, 4294967295)
    else
        bad = math.min(bad + 1, 4294967295)
    end
end
redis.call('SET', KEYS[1], string.format('%.0f %.0f %.0f %.0f', since, till, good, bad))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', till * 1000))
return 1
