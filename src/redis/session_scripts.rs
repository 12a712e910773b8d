//! Scripts on one session: the rule of `store::rule` in Lua.
//!
//! A script reads the row, decides as the rule does, and writes the next row. It computes
//! everything before its first write, because a script that fails halfway is not rolled back. The
//! docs list a script's arguments: `..` is the common part of its [invocation](super::invocation).

use super::lua::{
    ASK_UNCONFIRMED, CHECK_LOGIN, DONE, EXPIRE, FULL, INVOCATION, LEFT, LOG_IN, LazyLock, LuaScript, READ, READ_BOTH,
    SESSION, WRITE, script, scripts,
};

scripts! {
    INVOCATION:
    /// .., mode ('v'isit, 't'ouch, 'p'eek, 'e'xists), whether to return the fields ('1' or '0').
    /// Without the fields, a visit returns the time and the session's remaining time. If a visit's
    /// write fails, the script returns the session all the same, with the error.
    LOOK = [READ, SESSION, "
local mode, all = struct.unpack('c1c1', args, rest)
if not meta and (mode == 't' or all == '0') then return { 'gone' } end
if mode == 'e' then return { 'seen', now, 0, {}, call('HGET', key, 'o') or '' } end
", ASK_UNCONFIRMED, LEFT, "
if mode == 't' and closed then return { closed } end
if meta and not closed and mode ~= 'p' then
    ", FULL, "
    local touch_after = struct.unpack('>I8', args, 84)
    local apart, is_changed = full > left and full - left or left - full, false
    local due = full > 0 and (mode == 't' or apart > 0 and (apart >= touch_after or apart * 2 >= full))
    if mode == 't' then
        if full == 0 then return { 'gone' } end
    elseif full > 0 and kind == PENDING then
        local renew_after, grace = struct.unpack('>I8I8', args, 92)
        if is_successor then
            kind, second, seed, over =
                PREVIOUS, start:sub(3), string.rep('\\0', 8), grace == 0 and 0 or math.min(over, now + grace)
            start, id_since, is_changed = start:sub(1, 2) .. usual:sub(3), now, true
        elseif over == NEVER and renew_after < NONE then
            over, is_changed = now + math.max(renew_after, grace, 1), true
        end
    end
    if due and now + full > indexed_until then
        local owner = owned == 1 and call('HGET', key, 'o') or ''
        if index_for < full or args:sub(108, rest - 1) ~= owner then return { 'index', full, owner } end
        indexed_until, is_changed = now + index_for, true
    end
    if mode == 'v' then call = redis.pcall end
    if is_changed then
        local set, is_plain = 1, false
        ", WRITE, "
    end
    if due and type(answer) ~= 'table' then
        ", EXPIRE, "
        left = full
    end
    if mode == 't' then
        ", DONE, "
    end
end
local trouble = type(answer) == 'table' and answer.err or ''
if all == '1' then return { 'seen', now, left, call('HGETALL', key), trouble } end
return struct.pack('>I8I8', now, left < 0 and 1 or left) .. trouble
"];
    /// .., [commit](super::invocation::commit), [login](super::invocation::login), field and value
    /// of each entry to set, the field of each to remove, and the beginnings of the fields to
    /// clear.
    ///
    /// The stored size is an upper bound: replaced and removed entries are not measured, because
    /// each measurement would cost as much as a write. If the bound exceeds a limit, all entries
    /// are counted. If more than half of a limit is really used, replaced and removed entries are
    /// measured from then on, so that a large session is not counted at every commit. All entries
    /// are also counted if a commit removes more entries than a session may have.
    COMMIT = [READ_BOTH, SESSION, ASK_UNCONFIRMED, "
local expect, base, base_saves, nonce, identity, most, most_bytes, more, more_bytes, set, removed, after =
    struct.unpack('>c1c4I4c8c1I4I4I4I4I4I4', args, rest)
local is_new, is_plain, is_anothers, by = not meta, identity == '=', false
local logs_in, new_timeout, new_remembered, begins, new, new_seed = 0
if not is_plain then
    logs_in, new_timeout, new_remembered, begins, new, new_seed, after = struct.unpack('>BI8Bc4c16c8', args, after)
    -- The first of parallel requests may have put its token key into a page: keep that one.
    if meta and logs_in == 0 and ARGV[2] == 'c' then ARGV[3] = call('HGET', key, 'c') or ARGV[3] end
end
if index_for > 0 or logs_in == 1 then by = args:sub(108, rest - 1) end
rest = after
if is_new then
    if expect ~= 'a' then return { 'gone' } end
else
    local is_done = (identity == 'r' or expect == 'a') and incarnation == begins
    if not is_done then
        if expect == 'a' then return { 'taken' } end
        if incarnation ~= base then return { args:byte() == 49 and 'unknown' or closed or 'gone' } end
        local at = nonces:find(nonce, 1, true)
        while at and at % 8 ~= 1 do at = nonces:find(nonce, at + 1, true) end
        is_done = at
    end
    if is_done then
        ", LEFT, "
        full = left
        ", DONE, "
    end
    if identity ~= 'r' and #nonces / 8 < (saves - base_saves) % 4294967296 and args:byte() == 49 then
        return { 'unknown' }
    end
    if expect == 'e' and saves ~= base_saves then return { 'changed' } end
    ", FULL, "
    if full == 0 then return { 'gone' } end
end
", CHECK_LOGIN, "
if is_new then
    start, kind, indexed_until, incarnation, saves, bytes, entries, exact = usual, 0, 0, begins, 0, 0, 0, 0
    created, since, id_since, timeout, remembered, owned = now, 0, 0, NO_TIMEOUT, 0, 0
else
    is_anothers = logs_in == 1 and owned == 1 and call('HGET', key, 'o') ~= by
    local renew_after, grace
    if not is_plain then renew_after, grace = struct.unpack('>I8I8', args, 92) end
    if identity == 'r' then
        kind, second, seed, over = SUPERSEDED, start:sub(3), string.rep('\\0', 8), grace == 0 and 0 or now + grace
        start, incarnation, saves, nonces = start:sub(1, 2) .. new, begins, 0, ''
    else
        if identity == 'n' and owned == 1 and start:sub(3) == usual:sub(3) and renew_after < NONE
            and not (kind == PENDING or kind > 0 and now < over)
            and math.max(0, now - (id_since > 0 and id_since or created)) >= math.max(renew_after, grace) then
            kind, second, seed, over = PENDING, new, new_seed, NEVER
        end
        saves = (saves + 1) % 4294967296
        nonces = #nonces < 32 and nonce .. nonces or struct.pack('c8c24', nonce, nonces)
    end
    if is_anothers then created, since, id_since, timeout, remembered = now, 0, 0, NO_TIMEOUT, 0 end
    if identity == 'r' and renew_after < NONE then id_since = now end
end
if not is_plain then
    if new_timeout < NONE then timeout = new_timeout end
    if new_remembered < 2 then remembered = new_remembered end
    if logs_in == 1 then start, since, owned = (logins and '2s' or '2u') .. start:sub(3), now, 1 end
    idle, life = struct.unpack('>I8I8', args, 28)
    ", FULL, "
end
if index_for > 0 or now + full > indexed_until then
    is_plain = false
    local owner = owned == 1 and (logs_in == 1 and by or call('HGET', key, 'o')) or ''
    if index_for > 0 and (is_new or owner == by) then
        indexed_until = args:byte(67) == 1 and now + index_for or math.min(indexed_until, now + index_for)
    end
    if full > 0 and now + full > indexed_until then return { 'index', full, owner } end
end
local gone
entries, bytes = entries + more, bytes + more_bytes
if exact == 1 then
    for i = 2, removed do
        local field = ARGV[i]
        if (i > set or i % 2 == 0) and field:byte() == 107 then
            -- Values are never empty, so length 0 means that the field is absent.
            local length = call('HSTRLEN', key, field)
            if length > 0 then entries, bytes = entries - 1, bytes - #field - length end
        end
    end
end
if is_anothers or #ARGV > removed or removed - set > most or entries > most or bytes > most_bytes then
    entries, bytes, gone = more, more_bytes, {}
    local changed, stored = {}, is_new and {} or call('HGETALL', key)
    for i = 2, removed do
        if i > set or i % 2 == 0 then changed[ARGV[i]] = i > set and 'removed' or 'set' end
    end
    for i = 1, #stored, 2 do
        local field = stored[i]
        local change, is_entry = changed[field], field:byte() == 107
        if not change and is_anothers and (is_entry or field == 'l') then change = 'removed' end
        for n = removed + 1, #ARGV do
            if not change and field:sub(1, #ARGV[n]) == ARGV[n] then change = 'removed' end
        end
        if change == 'removed' then
            gone[#gone + 1] = field
        elseif not change and is_entry then
            entries, bytes = entries + 1, bytes + #field + #stored[i + 1]
        end
    end
    if entries > most then return { 'keys', entries } end
    if bytes > most_bytes then return { 'bytes', bytes } end
    exact = 1
elseif removed > set then
    gone = { unpack(ARGV, set + 1, removed) }
end
if bytes * 2 <= most_bytes and entries * 2 <= most then exact = 0 end
if full > 0 and is_stale or full == 0 and meta then call('DEL', key) end
if full == 0 then
    ", DONE, "
end
-- A commit that only makes the session smaller removes first: see lua.rs.
local is_smaller = set == 1 and not is_new and gone
if is_smaller then call('HDEL', key, '', unpack(gone)) end
", WRITE, "
if gone and not is_smaller then call('HDEL', key, '', unpack(gone)) end
if is_new then call('DEL', KEYS[2]) end
", LOG_IN, EXPIRE, DONE];
    /// .., whether the record has an owner, mode ('p'ut, or 't'ake over: only if there is no
    /// session), time to live, the rest of the meta field, [login](super::invocation::login), and
    /// fields and values.
    PUT = [READ, SESSION, ASK_UNCONFIRMED, "
local logs_in, mode, numbers
logs_in, mode, full, numbers, rest = struct.unpack('>Bc1I8c39', args, rest)
if meta and (mode == 't' or start:sub(3) ~= usual:sub(3) or closed) then return { 'taken' } end
", CHECK_LOGIN, "
if meta or is_stale and full > 0 then call('DEL', key) end
if full > 0 then
    local m = (logs_in == 1 and not logins and '2u' or '2s') .. usual:sub(3) .. '\\0' .. struct.pack('>I6', now + index_for) .. numbers
    call('HSET', key, 'm', m, unpack(ARGV, 2))
    call('DEL', KEYS[2])
    ", LOG_IN, EXPIRE, "
end
return numbers:sub(1, 4) .. numbers:sub(29, 32) .. struct.pack('>I8', full)
"];
    /// .., mode ('i': the session that the id opens; 'h': the session with this handle, and with
    /// this owner if one is given; 'r': the same, if its epoch is older than `epoch`), reason,
    /// epoch, previous epoch. An unconfirmed login older than the previous epoch is ended but not
    /// counted.
    END = [READ, SESSION, "
local mode, reason, epoch, before = struct.unpack('>c1c1I8I8', args, rest)
local by = args:sub(108, rest - 1)
if not meta or mode == 'i' and closed then return { closed or 'gone' } end
local owner, of = unpack(call('HMGET', key, 'o', 'e'))
of = tonumber(of) or 0
if mode ~= 'i' and by ~= '' and owner ~= by or mode == 'r' and of >= epoch then return { 'gone' } end
call('DEL', key)
if mode ~= 'i' then
    call('SET', KEYS[2], reason .. start:sub(3) .. (kind > SUPERSEDED and second or ''), 'PX', 3600000)
end
if mode == 'r' and is_unconfirmed and of < before then return { 'gone' } end
full = 0
", DONE];
    /// .., epoch: confirms the session's login and sets its epoch. If the invocation has a
    /// confirmed epoch, the login must be of that epoch.
    SET_EPOCH = [READ, SESSION, "
local epoch, confirmed = struct.unpack('>I8', args, rest), struct.unpack('>I8', args, 59)
local owner, of = unpack(call('HMGET', key, 'o', 'e'))
if not meta or owner ~= args:sub(108, rest - 1) or confirmed < NONE and tonumber(of) ~= confirmed then return { 'gone' } end
call('HDEL', key, '')
call('HSET', key, 'e', epoch, 'm', '2s' .. meta:sub(3))
full = 0
", DONE];
}
