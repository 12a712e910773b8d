//! The scripts on a session: the rule of `store::rule` in Lua.
//!
//! A script reads the row, decides as the rule does and writes the next row. All is worked out
//! before anything is written, because a script that stops halfway is not rolled back.

use super::parts::{
    DONE, FULL, LEFT, LIVES, LOGGED_IN, PLAN, READS, READS_BOTH, SESSION, UNLESS_REFUSED, UNLESS_UNSURE, WRITES,
};
use super::{LazyLock, Script, script, scripts};

scripts! {
    PLAN:
    /// .., how ('v'isit, 't'ouch, 'p'eek, 'e'xists), whether all is to be told; if not, a visit is
    /// told the time and what the session has left. What cannot be written for a visit is told,
    /// and it is answered all the same.
    LOOK = [READS, SESSION, "
local how, all = struct.unpack('c1c1', plan, rest)
if not meta and (how == 't' or all == '0') then return { 'gone' } end
if how == 'e' then return { 'seen', now, 0, {}, call('HGET', key, 'o') or '' } end
", UNLESS_UNSURE, LEFT, "
if how == 't' and closed then return { closed } end
if meta and not closed and how ~= 'p' then
    ", FULL, "
    local touch_after = struct.unpack('>I8', plan, 84)
    local apart, is_changed = full > left and full - left or left - full, false
    local due = full > 0 and (how == 't' or apart > 0 and (apart >= touch_after or apart * 2 >= full))
    if how == 't' then
        if full == 0 then return { 'gone' } end
    elseif full > 0 and kind == PENDING then
        local renew_after, grace = struct.unpack('>I8I8', plan, 92)
        if is_successor then
            kind, second, seed, over =
                PREVIOUS, start:sub(3), string.rep('\\0', 8), grace == 0 and 0 or math.min(over, now + grace)
            start, id_since, is_changed = start:sub(1, 2) .. usual:sub(3), now, true
        elseif over == NEVER and renew_after < NONE then
            over, is_changed = now + math.max(renew_after, grace, 1), true
        end
    end
    if due and now + full > known then
        local owner = owned == 1 and call('HGET', key, 'o') or ''
        if noted < full or plan:sub(108, rest - 1) ~= owner then return { 'note', full, owner } end
        known, is_changed = now + noted, true
    end
    if how == 'v' then call = redis.pcall end
    if is_changed then
        local set, is_plain = 1, false
        ", WRITES, "
    end
    if due and type(answer) ~= 'table' then
        ", LIVES, "
        left = full
    end
    if how == 't' then
        ", DONE, "
    end
end
local trouble = type(answer) == 'table' and answer.err or ''
if all == '1' then return { 'seen', now, left, call('HGETALL', key), trouble } end
return struct.pack('>I8I8', now, left < 0 and 1 or left) .. trouble
"];
    /// .., [commit](crate::redis::plan::commit), [login](crate::redis::plan::login), field and
    /// value of each entry to set, the field of each to remove, and how the fields begin that are
    /// cleared.
    ///
    /// The size is what the entries take at most: what a commit replaces and removes is not looked
    /// at, each look would cost as much as the writing. When that sum is over a limit, all is
    /// counted; when even half of a limit is really used, what is replaced and removed is measured
    /// from then on, so that a large session is not counted again and again. All is read, too, when
    /// more is to be removed than a command takes arguments.
    COMMIT = [READS_BOTH, SESSION, UNLESS_UNSURE, "
local expect, base, base_saves, nonce, identity, most, most_bytes, more, more_bytes, set, removed, after =
    struct.unpack('>c1c4I4c8c1I4I4I4I4I4I4', plan, rest)
local is_new, is_plain, is_anothers, by = not meta, identity == '=', false
local logs_in, new_timeout, new_remembered, begins, new, new_seed = 0
if not is_plain then
    logs_in, new_timeout, new_remembered, begins, new, new_seed, after = struct.unpack('>BI8Bc4c16c8', plan, after)
    -- Of several requests that draw one, the first has put it into a page.
    if meta and logs_in == 0 and ARGV[2] == 'c' then ARGV[3] = call('HGET', key, 'c') or ARGV[3] end
end
if noted > 0 or logs_in == 1 then by = plan:sub(108, rest - 1) end
rest = after
if is_new then
    if expect ~= 'a' then return { 'gone' } end
else
    local is_done = (identity == 'r' or expect == 'a') and incarnation == begins
    if not is_done then
        if expect == 'a' then return { 'taken' } end
        if incarnation ~= base then return { plan:byte() == 49 and 'unknown' or closed or 'gone' } end
        local at = nonces:find(nonce, 1, true)
        while at and at % 8 ~= 1 do at = nonces:find(nonce, at + 1, true) end
        is_done = at
    end
    if is_done then
        ", LEFT, "
        full = left
        ", DONE, "
    end
    if identity ~= 'r' and #nonces / 8 < (saves - base_saves) % 4294967296 and plan:byte() == 49 then
        return { 'unknown' }
    end
    if expect == 'e' and saves ~= base_saves then return { 'changed' } end
    ", FULL, "
    if full == 0 then return { 'gone' } end
end
", UNLESS_REFUSED, "
if is_new then
    start, kind, known, incarnation, saves, bytes, entries, exact = usual, 0, 0, begins, 0, 0, 0, 0
    created, since, id_since, timeout, remembered, owned = now, 0, 0, NO_TIME, 0, 0
else
    is_anothers = logs_in == 1 and owned == 1 and call('HGET', key, 'o') ~= by
    local renew_after, grace
    if not is_plain then renew_after, grace = struct.unpack('>I8I8', plan, 92) end
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
    if is_anothers then created, since, id_since, timeout, remembered = now, 0, 0, NO_TIME, 0 end
    if identity == 'r' and renew_after < NONE then id_since = now end
end
if not is_plain then
    if new_timeout < NONE then timeout = new_timeout end
    if new_remembered < 2 then remembered = new_remembered end
    if logs_in == 1 then start, since, owned = (logins and '2s' or '2u') .. start:sub(3), now, 1 end
    idle, life = struct.unpack('>I8I8', plan, 28)
    ", FULL, "
end
if noted > 0 or now + full > known then
    is_plain = false
    local owner = owned == 1 and (logs_in == 1 and by or call('HGET', key, 'o')) or ''
    if noted > 0 and (is_new or owner == by) then
        known = plan:byte(67) == 1 and now + noted or math.min(known, now + noted)
    end
    if full > 0 and now + full > known then return { 'note', full, owner } end
end
local gone
entries, bytes = entries + more, bytes + more_bytes
if exact == 1 then
    for i = 2, removed do
        local field = ARGV[i]
        if (i > set or i % 2 == 0) and field:byte() == 107 then
            -- No value is empty, so without a length there is none.
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
-- What only makes it smaller begins with that.
local is_smaller = set == 1 and not is_new and gone
if is_smaller then call('HDEL', key, '', unpack(gone)) end
", WRITES, "
if gone and not is_smaller then call('HDEL', key, '', unpack(gone)) end
if is_new then call('DEL', KEYS[2]) end
", LOGGED_IN, LIVES, DONE];
    /// .., whether it has an owner, how ('p'ut, 't'ake over: only if there is none), time to live,
    /// the rest of the meta field, [login](crate::redis::plan::login), field, value, ..
    PUT = [READS, SESSION, UNLESS_UNSURE, "
local logs_in, how, numbers
logs_in, how, full, numbers, rest = struct.unpack('>Bc1I8c39', plan, rest)
if meta and (how == 't' or start:sub(3) ~= usual:sub(3) or closed) then return { 'taken' } end
", UNLESS_REFUSED, "
if meta or is_stale and full > 0 then call('DEL', key) end
if full > 0 then
    local m = (logs_in == 1 and not logins and '2u' or '2s') .. usual:sub(3) .. '\\0' .. struct.pack('>I6', now + noted) .. numbers
    call('HSET', key, 'm', m, unpack(ARGV, 2))
    call('DEL', KEYS[2])
    ", LOGGED_IN, LIVES, "
end
return numbers:sub(1, 4) .. numbers:sub(29, 32) .. struct.pack('>I8', full)
"];
    /// .., how ('i': the session that the id opens, 'h': the session with this handle, of this
    /// owner if one is given, 'b': the same, if it is of an epoch before this one), reason, epoch,
    /// the epoch before: a login that did not count even in that one is ended but not counted.
    END = [READS, SESSION, "
local how, reason, epoch, before = struct.unpack('>c1c1I8I8', plan, rest)
local by = plan:sub(108, rest - 1)
if not meta or how == 'i' and closed then return { closed or 'gone' } end
local owner, of = unpack(call('HMGET', key, 'o', 'e'))
of = tonumber(of) or 0
if how ~= 'i' and by ~= '' and owner ~= by or how == 'b' and of >= epoch then return { 'gone' } end
call('DEL', key)
if how ~= 'i' then
    call('SET', KEYS[2], reason .. start:sub(3) .. (kind > SUPERSEDED and second or ''), 'PX', 3600000)
end
if how == 'b' and is_unsure and of < before then return { 'gone' } end
full = 0
", DONE];
    /// .., the session's epoch from now on. If an epoch is sure, its login must be of that one.
    MARK = [READS, SESSION, "
local epoch, sure = struct.unpack('>I8', plan, rest), struct.unpack('>I8', plan, 59)
local owner, of = unpack(call('HMGET', key, 'o', 'e'))
if not meta or owner ~= plan:sub(108, rest - 1) or sure < NONE and tonumber(of) ~= sure then return { 'gone' } end
call('HDEL', key, '')
call('HSET', key, 'e', epoch, 'm', '2s' .. meta:sub(3))
full = 0
", DONE];
}
