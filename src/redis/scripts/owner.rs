//! The scripts on an owner, whose set knows the sessions, and on the index of all sessions.

use super::{LazyLock, Script, script, scripts};

/// How every script on an owner begins. Its keys: the epoch, the epoch that is drawn next, the
/// sessions by the instant until which they are noted, and the place of each: when it logged in.
/// 'r' before a place reserves it for a login under way, and behind it stands the place that the
/// session had before; 'x' marks one that another login took.
const OWNER: &str = "
local epoch, following, sessions, logins = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call, now = redis.call, tonumber(ARGV[1])
local RESERVED, TAKEN, PATIENCE = 114, 120, 30000
if now == 0 then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local current = call('GET', epoch) or '0'
local function forget(handles)
    for i = 1, #handles, 1000 do
        call('ZREM', sessions, unpack(handles, i, math.min(i + 999, #handles)))
        call('HDEL', logins, unpack(handles, i, math.min(i + 999, #handles)))
    end
end
local function tidy()
    forget(call('ZRANGEBYSCORE', sessions, '-inf', now))
end
local function keep()
    local last = (call('ZRANGE', sessions, -1, -1, 'WITHSCORES')[2] or now) - now
    call('PEXPIRE', sessions, last)
    call('PEXPIRE', logins, last)
    call('PEXPIRE', epoch, math.max(last, 86400000))
    call('PEXPIRE', following, math.max(last, 86400000))
end
";

scripts! {
    OWNER:
    /// now, handle, for how long the set is to know it, when it logged in ('now', or 'known' to the
    /// set already), the limit ('': none), what happens beyond it ('r'efused), whether the others
    /// were looked at, those of them that are not there: the epoch and the sessions that are to
    /// end, or the sessions that are to be looked at.
    ENTER = ["
local handle, noted, since, max, at_limit, looked = unpack(ARGV, 2, 7)
local surplus, gone, rank = {}, {}, now
if max ~= '' then
    local places, is_gone, others, unseen = call('HGETALL', logins), {}, {}, {}
    for i = 8, #ARGV do is_gone[ARGV[i]] = true end
    for i = 1, #places, 2 do
        local name, place = places[i], places[i + 1]
        local at = tonumber(place:match('%d+'))
        -- It is not there yet, and is not looked at: it would be taken for one that ended.
        local is_under_way = place:byte() == RESERVED and now - at < PATIENCE
        rank = math.max(rank, at + 1)
        if name ~= handle then
            if is_gone[name] and not is_under_way then gone[#gone + 1] = name
            elseif place:byte() == TAKEN then surplus[#surplus + 1] = name
            else
                others[#others + 1] = { at, name }
                if not is_under_way then unseen[#unseen + 1] = name end
            end
        end
    end
    local over = #others + 1 - tonumber(max)
    if over > 0 then
        if looked == '' then return { 'others', unseen } end
        if at_limit == 'r' then return { 'limit' } end
        -- Of two that logged in at once the one with the smaller handle: in base64 digits are larger
        -- than letters.
        local function number(name) return (name:gsub('%d', '{%0'):gsub('%-', '|'):gsub('_', '}')) end
        table.sort(others, function(a, b) return a[1] < b[1] or a[1] == b[1] and number(a[2]) < number(b[2]) end)
        for i = 1, math.min(over, #others) do surplus[#surplus + 1] = others[i][2] end
    end
end
call('ZADD', sessions, 'GT', now + noted, handle)
if since == 'now' then
    local before = (call('HGET', logins, handle) or ''):match('%d+$') or ''
    call('HSET', logins, handle, string.format('r%.0f:', rank) .. before)
elseif since == 'known' then call('HSETNX', logins, handle, string.format('%.0f', now))
else call('HSET', logins, handle, since) end
forget(gone)
for i = 1, #surplus do call('HSET', logins, surplus[i], 'x' .. string.format('%.0f', now)) end
tidy()
keep()
return { 'entered', current, surplus }
"];
    /// now, handle, epoch: whether a login of this epoch counts. From then on it does.
    COUNTS = ["
local place = call('HGET', logins, ARGV[2])
if tonumber(current) > tonumber(ARGV[3]) then return { 'revoked' } end
if not place or place:byte() == TAKEN then return { 'limit' } end
if place:byte() == RESERVED then
    call('HDEL', logins, '')
    call('HSET', logins, ARGV[2], place:match('^r(%d+)'))
end
return { 'counts' }
"];
    /// now, handle, ..: sessions whose places another login took have ended, and logins that have a
    /// place reserved were not carried out.
    LEAVE = ["
local gone = {}
for i = 2, #ARGV do
    local place = call('HGET', logins, ARGV[i]) or ''
    local before = place:match('^r.*:(%d+)$')
    if place:byte() == TAKEN then gone[#gone + 1] = ARGV[i]
    elseif before then call('HSET', logins, ARGV[i], before)
    elseif place:byte() == RESERVED then call('HDEL', logins, ARGV[i]) end
end
forget(gone)
return { 'counts' }
"];
    /// now: draws the epoch to come, and no two calls get the same. Or now, epoch: from then on all
    /// earlier logins are over; the epoch before, and the sessions.
    RAISE = ["
tidy()
call('ZREM', sessions, '')
local next, all = ARGV[2], {}
if next then
    call('SET', epoch, string.format('%.0f', math.max(tonumber(next), tonumber(current))))
    next, all = current, call('ZRANGE', sessions, 0, -1)
else
    next = string.format('%.0f', math.max(tonumber(call('GET', following) or 0) + 1, tonumber(current) + 1, now))
    call('SET', following, next)
end
keep()
return { 'entered', next, all }
"];
}

/// The index of all sessions, in parts: handles by the instant until which they are noted.
const INDEX: &str = "
local index, now = KEYS[1], tonumber(ARGV[1])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
";

scripts! {
    INDEX:
    /// now, handle, time in milliseconds. Tidies a little each time, so that no caller waits for
    /// all of it.
    NOTE = ["
local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 16)
if #over > 0 then redis.call('ZREM', index, unpack(over)) end
redis.call('ZADD', index, 'GT', now + ARGV[3], ARGV[2])
if redis.call('PTTL', index) < tonumber(ARGV[3]) then redis.call('PEXPIRE', index, ARGV[3]) end
return { 'counts' }
"];
}
