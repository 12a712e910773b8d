//! Scripts on the sessions of one owner, and on the index of all sessions. The docs of a script
//! begin with its arguments.

use super::lua::{LazyLock, LuaScript, script, scripts};

/// The beginning of every script on an owner. Its keys are the epoch, the next epoch, the set of
/// sessions with the instant until which each is indexed, and the login slots: a hash from handle
/// to login time. The prefix 'r' reserves a slot for a login under way; after a colon follows the
/// session's previous login time, if any. The prefix 'x' marks a slot that another login took.
const OWNER: &str = "
local epoch, following, sessions, logins = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call, now = redis.call, tonumber(ARGV[1])
local RESERVED, TAKEN, RESERVATION_MS = 114, 120, 30000
if now == 0 then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local current = call('GET', epoch) or '0'
local function remove(handles)
    for i = 1, #handles, 1000 do
        call('ZREM', sessions, unpack(handles, i, math.min(i + 999, #handles)))
        call('HDEL', logins, unpack(handles, i, math.min(i + 999, #handles)))
    end
end
local function remove_expired()
    remove(call('ZRANGEBYSCORE', sessions, '-inf', now))
end
local function extend_expiry()
    local last = (call('ZRANGE', sessions, -1, -1, 'WITHSCORES')[2] or now) - now
    call('PEXPIRE', sessions, last)
    call('PEXPIRE', logins, last)
    call('PEXPIRE', epoch, math.max(last, 86400000))
    call('PEXPIRE', following, math.max(last, 86400000))
end
";

scripts! {
    OWNER:
    /// now, handle, how long to index it, its login time (or 'now', or 'known': already in the
    /// set), the limit ('': none), 'r' to refuse a login over the limit, 'examined' if the caller
    /// has looked at the other sessions, and the handles of those that are gone. Adds the session;
    /// returns the epoch and the surplus sessions to end, or the sessions to examine first.
    OWNER_ADD = ["
local handle, index_for, since, max, at_limit, examined = unpack(ARGV, 2, 7)
local surplus, gone, rank = {}, {}, now
if max ~= '' then
    local slots, is_gone, others, unexamined = call('HGETALL', logins), {}, {}, {}
    for i = 8, #ARGV do is_gone[ARGV[i]] = true end
    for i = 1, #slots, 2 do
        local name, slot = slots[i], slots[i + 1]
        local at = tonumber(slot:match('%d+'))
        -- A session whose login is under way may not exist yet, so it is never taken for ended.
        local is_under_way = slot:byte() == RESERVED and now - at < RESERVATION_MS
        rank = math.max(rank, at + 1)
        if name ~= handle then
            if is_gone[name] and not is_under_way then gone[#gone + 1] = name
            elseif slot:byte() == TAKEN then surplus[#surplus + 1] = name
            else
                others[#others + 1] = { at, name }
                if not is_under_way then unexamined[#unexamined + 1] = name end
            end
        end
    end
    local over = #others + 1 - tonumber(max)
    if over > 0 then
        if examined == '' then return { 'examine', unexamined } end
        if at_limit == 'r' then return { 'limit' } end
        -- The oldest first; of two that logged in at the same time, the one with the smaller handle.
        -- In base64, digits are larger than letters.
        local function number(name) return (name:gsub('%d', '{%0'):gsub('%-', '|'):gsub('_', '}')) end
        table.sort(others, function(a, b) return a[1] < b[1] or a[1] == b[1] and number(a[2]) < number(b[2]) end)
        for i = 1, math.min(over, #others) do surplus[#surplus + 1] = others[i][2] end
    end
end
call('ZADD', sessions, 'GT', now + index_for, handle)
if since == 'now' then
    local before = (call('HGET', logins, handle) or ''):match('%d+$') or ''
    call('HSET', logins, handle, string.format('r%.0f:', rank) .. before)
elseif since == 'known' then call('HSETNX', logins, handle, string.format('%.0f', now))
else call('HSET', logins, handle, since) end
remove(gone)
for i = 1, #surplus do call('HSET', logins, surplus[i], 'x' .. string.format('%.0f', now)) end
remove_expired()
extend_expiry()
return { 'added', current, surplus }
"];
    /// now, handle, epoch. Checks whether a login of this epoch counts, and makes its slot
    /// permanent.
    CONFIRM_LOGIN = ["
local slot = call('HGET', logins, ARGV[2])
if tonumber(current) > tonumber(ARGV[3]) then return { 'revoked' } end
if not slot or slot:byte() == TAKEN then return { 'limit' } end
if slot:byte() == RESERVED then
    call('HDEL', logins, '')
    call('HSET', logins, ARGV[2], slot:match('^r(%d+)'))
end
return { 'ok' }
"];
    /// now, handles. Releases the slots of sessions that ended because another login took these
    /// slots, and the reserved slots of logins that were not carried out.
    OWNER_RELEASE = ["
local gone = {}
for i = 2, #ARGV do
    local slot = call('HGET', logins, ARGV[i]) or ''
    local before = slot:match('^r.*:(%d+)$')
    if slot:byte() == TAKEN then gone[#gone + 1] = ARGV[i]
    elseif before then call('HSET', logins, ARGV[i], before)
    elseif slot:byte() == RESERVED then call('HDEL', logins, ARGV[i]) end
end
remove(gone)
return { 'ok' }
"];
    /// now, optionally epoch. Without an epoch, returns a new one at each call. With an epoch,
    /// begins it to revoke all earlier logins, and returns the previous epoch and the sessions.
    BUMP_EPOCH = ["
remove_expired()
call('ZREM', sessions, '')
local next, all = ARGV[2], {}
if next then
    call('SET', epoch, string.format('%.0f', math.max(tonumber(next), tonumber(current))))
    next, all = current, call('ZRANGE', sessions, 0, -1)
else
    next = string.format('%.0f', math.max(tonumber(call('GET', following) or 0) + 1, tonumber(current) + 1, now))
    call('SET', following, next)
end
extend_expiry()
return { 'added', next, all }
"];
}

/// The beginning of scripts on a part of the index of all sessions: a set of handles with the
/// instant until which each is indexed.
const INDEX: &str = "
local index, now = KEYS[1], tonumber(ARGV[1])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
";

scripts! {
    INDEX:
    /// now, handle, how long to index it. Adds the handle. Also removes a few expired handles, so
    /// that no request waits for the removal of all.
    INDEX_ADD = ["
local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 16)
if #over > 0 then redis.call('ZREM', index, unpack(over)) end
redis.call('ZADD', index, 'GT', now + ARGV[3], ARGV[2])
if redis.call('PTTL', index) < tonumber(ARGV[3]) then redis.call('PEXPIRE', index, ARGV[3]) end
return { 'ok' }
"];
}
