//! The scripts: the rule of `store::rule` in Lua, and what happens at one instant to an owner's set.
//!
//! A session's script reads the row, decides as the rule does and writes the next row. All is worked out
//! before anything is written, because a script that stops halfway is not rolled back.
//!
//! On a server whose memory is full a script fails at its first write if that may need memory, or not
//! at all. So what makes the data grow begins with `HSET` or `ZADD` and is refused; what ends sessions
//! or makes them smaller begins with a removal, even of nothing, and is carried out.

use std::sync::LazyLock;

/// A script, and the name that a server knows it by once it has seen it.
pub(super) struct Script {
    pub(super) code: String,
    pub(super) hash: String,
}

fn script(parts: &[&str]) -> Script {
    let code = parts.concat();
    let hash = ::redis::Script::new(&code).get_hash().to_owned();
    Script { code, hash }
}

macro_rules! scripts {
    ($prelude:ident: $($(#[$doc:meta])* $name:ident = [$($part:expr),+];)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> = LazyLock::new(|| script(&[$prelude, $($part),+]));)*
    };
}

/// How every script on a session begins. Its key is the session; `KEYS[2]`, where a script has it, says
/// why the session was ended. `ARGV[1]` is the [plan](super::plan::Plan), and what is left of it
/// begins at `rest`. The [row](super::row) is read into locals; `meta` is false if there is no live one.
///
/// Digests of 128 random bits may be compared like any text: how far a guess got says nothing about
/// the secret.
const SESSION: &str = "
local key, call, plan = KEYS[1], redis.call, ARGV[1]
local repeated, in_index, now, digest, noted, sure, idle, life, long_idle, long_life, touch_after, renew_after, grace, by, rest =
    struct.unpack('>c1BI8c16I8I8I8I8I8I8I8I8I8Bc0', plan)
local NONE, NEVER, FOREVER, NO_TIME = 9007199254740992, 9007199254740991, 3153600000000, 281474976710655
local SUPERSEDED, PENDING, PREVIOUS = 1, 2, 3
local manual = now > 0
if not manual then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local meta, tail = unpack(call('HMGET', key, 'm', 'x'))
local left, is_stale = 0, false
if meta then
    left = manual and (call('HGET', key, 'd') or 0) - now or call('PTTL', key)
    if left <= 0 then meta, is_stale = false, true end
end
local login, current, kind, known, incarnation, saves, bytes, entries, flags, created, since, id_since, timeout
local exact, remembered, owned
local second, seed, over, nonces = nil, '', 0, ''
if meta then
    tail = tail or ''
    if meta:byte() ~= 50 or #meta ~= 64 then return { 'format', meta:sub(1, 1) } end
    login, current, kind, known, incarnation, saves, bytes, entries, flags, created, since, id_since, timeout =
        struct.unpack('>c1c16BI6c4I4I4I2BI6I6I6I6', meta, 2)
    exact, remembered, owned = flags % 2, math.floor(flags / 2) % 2, math.floor(flags / 4) % 2
    if kind > 0 then
        second, seed, over = struct.unpack('>c16c8I8', tail)
        nonces = tail:sub(33)
    else
        nonces = tail
    end
end
-- Instants a span from now; no time at all is over for every reader.
local function after(span) return span == 0 and 0 or now + span end
local function full_time()
    local idle, life = idle, life
    if remembered == 1 then idle, life = long_idle, long_life end
    if timeout ~= NO_TIME then idle = timeout end
    local full, began = math.min(idle, FOREVER), math.max(created, since)
    if life == NONE or began == 0 then return full end
    return math.min(full, math.max(0, life - math.max(0, now - began)))
end
local function row()
    local more = kind > 0 and second .. seed .. struct.pack('>I8', over) or ''
    return '2' .. struct.pack('>c1c16BI6c4I4I4I2BI6I6I6I6', login, current, kind, known, incarnation, saves, bytes,
        entries, exact + 2 * remembered + 4 * owned, created, since, id_since, timeout), more .. nonces
end
local function lives(span)
    if manual then call('HSET', key, 'd', now + span) end
    call('PEXPIRE', key, manual and 86400000 or span)
end
local function done(span)
    local renewing = kind == PENDING and digest == current and seed or ''
    return { 'done', incarnation .. struct.pack('>I4', saves), span, renewing }
end
";

/// Asks whether a login counts that was not confirmed yet.
const UNLESS_UNSURE: &str = "
if meta and login == 'u' then
    local owner, epoch = unpack(call('HMGET', key, 'o', 'e'))
    if tonumber(epoch) ~= sure then return { 'ask', owner, epoch } end
end
";

/// How the id stands to the row: `closed` says why it opens the row no more.
const STANDING: &str = "
local closed, is_successor = nil, false
if meta then
    if digest == current then
        if kind == PENDING and over <= now then closed = 'superseded' end
    elseif digest ~= second then
        closed = 'gone'
    elseif kind == PENDING then
        is_successor = true
    elseif kind == SUPERSEDED or over <= now then
        closed = 'superseded'
    end
end
";

/// The epoch of a login. On one server the owner's keys are at hand, so the login counts at once or
/// not at all; in a cluster it is confirmed when the session is next looked at.
const LOGS_IN: &str = "
local begun, epoch, handle
begun, epoch, handle, rest = struct.unpack('>I8I8c11', plan, rest)
local logins = KEYS[4]
local function refused()
    if not logins then return begun < epoch and 'revoked' end
    epoch = tonumber(call('GET', KEYS[3]) or 0)
    local place = call('HGET', logins, handle)
    if begun < epoch then return 'revoked' end
    return (not place or place:byte() == 120) and 'limit'
end
local function logged_in()
    call('HSET', key, 'e', epoch)
    local place = logins and call('HGET', logins, handle)
    if place and place:byte() == 114 then call('HSET', logins, handle, place:sub(2)) end
end
";

scripts! {
    SESSION:
    /// .., how ('v'isit, 't'ouch, 'p'eek, 'e'xists), whether all is to be told. What it cannot write it tells, and
    /// answers all the same.
    LOOK = ["
local how, all = struct.unpack('c1c1', plan, rest)
if how == 'e' and meta then return { 'seen', now, left, {}, call('HGET', key, 'o') or '' } end
", UNLESS_UNSURE, STANDING, "
local trouble = ''
if not meta then
    if how == 't' or all ~= '1' then return { 'gone' } end
elseif how == 't' or how == 'v' then
    local full = full_time()
    if how == 't' and (closed or full == 0) then return { closed or 'gone' } end
    if not closed and full > 0 then
        local due = how == 't' or (full ~= left and math.abs(full - left) >= math.min(touch_after, full / 2))
        local is_changed = false
        if how == 'v' and is_successor then
            kind, second, seed, over = PREVIOUS, current, string.rep('\\0', 8), after(grace)
            current, id_since, is_changed = digest, now, true
        elseif how == 'v' and kind == PENDING and over == NEVER then
            over, is_changed = after(math.max(renew_after == NONE and grace or renew_after, grace)), true
        end
        if due and now + full > known then
            local owner = owned == 1 and call('HGET', key, 'o') or ''
            if noted < full or by ~= owner then return { 'note', full, owner } end
            known, is_changed = now + noted, true
        end
        local function write()
            local m, x = row()
            if is_changed and x == '' then call('HSET', key, 'm', m) end
            if is_changed and x ~= '' then call('HSET', key, 'm', m, 'x', x) end
            if due then
                lives(full)
                left = full
            end
        end
        if how == 't' then
            write()
            return done(full)
        end
        local is_written, why = pcall(write)
        if not is_written then trouble = type(why) == 'table' and why.err or why end
    end
end
if all ~= '1' then return { 'seen', now, left, {}, trouble } end
return { 'seen', now, left, call('HGETALL', key), trouble }
"];
    /// .., [commit](super::plan::commit), field and value of each entry to set, the field of each to remove, and how
    /// the fields begin that are cleared.
    ///
    /// The size is what the entries take at most: what a commit replaces and removes is not looked at, each
    /// look would cost as much as the writing. When that sum is over a limit, all is counted; when even half
    /// of a limit is really used, what is replaced and removed is measured from then on, so that a large
    /// session is not counted again and again. All is read, too, when more is to be removed than a command
    /// takes arguments.
    COMMIT = [UNLESS_UNSURE, STANDING, LOGS_IN, "
local expect, base, base_saves, nonce, begins, identity, new, new_seed, logs_in, new_timeout, new_remembered
expect, base, base_saves, nonce, begins, identity, new, new_seed, logs_in, new_timeout, new_remembered, rest =
    struct.unpack('>c1c4I4c8c4c1c16c8BI8B', plan, rest)
local most, most_bytes, more, more_bytes, set, removed = struct.unpack('>I4I4I4I4I4I4', plan, rest)
local is_new, is_anothers, why = not meta, false, nil
if is_new then
    if expect ~= 'a' then return { 'gone' } end
    why = logs_in == 1 and refused()
    if why then return { why } end
    login, current, kind, known, incarnation, saves, bytes, entries, exact = 's', digest, 0, 0, begins, 0, 0, 0, 0
    created, since, id_since, timeout, remembered, owned, second, nonces = now, 0, 0, NO_TIME, 0, 0, nil, ''
else
    if (identity == 'r' or expect == 'a') and incarnation == begins then return done(left) end
    if expect == 'a' then return { 'taken' } end
    if incarnation ~= base then return { closed or 'gone' } end
    for i = 1, #nonces, 8 do
        if nonces:sub(i, i + 7) == nonce then return done(left) end
    end
    if repeated == '1' and #nonces / 8 < (saves - base_saves) % 4294967296 then return { 'unknown' } end
    if expect == 'e' and saves ~= base_saves then return { 'changed' } end
    if full_time() == 0 then return { 'gone' } end
    why = logs_in == 1 and refused()
    if why then return { why } end
    is_anothers = logs_in == 1 and owned == 1 and call('HGET', key, 'o') ~= by
    if identity == 'r' then
        kind, second, seed, over, current = SUPERSEDED, current, string.rep('\\0', 8), after(grace), new
        incarnation, saves, nonces = begins, 0, ''
    else
        local age = math.max(0, now - (id_since > 0 and id_since or created))
        local is_under_way = kind == PENDING or kind == PREVIOUS and now < over
        if identity == 'n' and owned == 1 and digest == current and not is_under_way and renew_after < NONE
            and age >= math.max(renew_after, grace) then
            kind, second, seed, over = PENDING, new, new_seed, NEVER
        end
        saves, nonces = (saves + 1) % 4294967296, (nonces .. nonce):sub(-32)
    end
    if is_anothers then created, since, id_since, timeout, remembered = now, 0, 0, NO_TIME, 0 end
    if identity == 'r' and renew_after < NONE then id_since = now end
end
if new_timeout < NONE then timeout = new_timeout end
if new_remembered < 2 then remembered = new_remembered end
if logs_in == 1 then since, owned = now, 1 end
local full = full_time()
if not is_new and noted > 0 and logs_in == 0 and (owned == 1 and call('HGET', key, 'o') or '') ~= by then noted = 0 end
if noted > 0 then known = in_index == 1 and now + noted or math.min(known, now + noted) end
if now + full > known then return { 'note', full, owned == 1 and (logs_in == 1 and by or call('HGET', key, 'o')) or '' } end
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
    local changed = {}
    for i = 2, set, 2 do changed[ARGV[i]] = 'set' end
    for i = set + 1, removed do changed[ARGV[i]] = 'removed' end
    local stored = is_new and {} or call('HGETALL', key)
    for i = 1, #stored, 2 do
        local field = stored[i]
        local change = changed[field]
        local is_ours = field:byte() == 107 or field == 'l'
        if not change and is_ours and is_anothers then change = 'removed' end
        for n = removed + 1, #ARGV do
            if not change and field:sub(1, #ARGV[n]) == ARGV[n] then change = 'removed' end
        end
        if change == 'removed' then
            gone[#gone + 1] = field
        elseif not change and field:byte() == 107 then
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
if full == 0 then
    if not is_new or is_stale then call('DEL', key) end
    return done(0)
end
if is_stale then call('DEL', key) end
if logs_in == 1 then login = logins and 's' or 'u' end
local m, x = row()
-- What only makes it smaller begins with that.
local is_smaller = set == 1 and not is_new and gone
if is_smaller then call('HDEL', key, '', unpack(gone)) end
if x == '' then call('HSET', key, 'm', m, unpack(ARGV, 2, set))
else call('HSET', key, 'm', m, 'x', x, unpack(ARGV, 2, set)) end
if gone and not is_smaller then call('HDEL', key, '', unpack(gone)) end
if is_new then call('DEL', KEYS[2]) end
if logs_in == 1 then logged_in() end
lives(full)
return done(full)
"];
    /// .., how ('p'ut, 't'ake over: only if there is none), time to live, the rest of the meta field, field, value, ..
    PUT = [UNLESS_UNSURE, LOGS_IN, "
local how, span, logs_in, numbers = struct.unpack('>c1I8Bc39', plan, rest)
if meta and (how == 't' or digest ~= current) then return { 'taken' } end
local version = numbers:sub(1, 8)
if span == 0 then
    if meta then call('DEL', key) end
    return { 'done', version, 0, '' }
end
if logs_in == 1 then
    local why = refused()
    if why then return { why } end
end
if meta or is_stale then call('DEL', key) end
login = logs_in == 1 and not logins and 'u' or 's'
local m = '2' .. login .. digest .. '\\0' .. struct.pack('>I6', now + noted) .. numbers
call('HSET', key, 'm', m, unpack(ARGV, 2))
call('DEL', KEYS[2])
if logs_in == 1 then logged_in() end
lives(span)
return { 'done', version, span, '' }
"];
    /// .., how ('i': the session that the id opens, 'h': the session with this handle, of this owner if one is given,
    /// 'b': the same, if it is of an epoch before this one), reason, epoch, the epoch before: a login that did not
    /// count even in that one is ended but not counted.
    END = [STANDING, "
local how, reason, epoch, before = struct.unpack('>c1c1I8I8', plan, rest)
if not meta or how == 'i' and closed then return { closed or 'gone' } end
local owner, of = unpack(call('HMGET', key, 'o', 'e'))
of = tonumber(of) or 0
if how ~= 'i' and by ~= '' and owner ~= by or how == 'b' and of >= epoch then return { 'gone' } end
call('DEL', key)
if how ~= 'i' then
    call('SET', KEYS[2], reason .. current .. (kind > SUPERSEDED and second or ''), 'PX', 3600000)
end
if how == 'b' and login == 'u' and of < before then return { 'gone' } end
return done(0)
"];
    /// .., how ('c'onfirm a login of the epoch that is sure, 's'pare the session that the id opens), its epoch from now on.
    MARK = [STANDING, "
local how, epoch = struct.unpack('>c1I8', plan, rest)
local owner, of = unpack(call('HMGET', key, 'o', 'e'))
if not meta or owner ~= by or how == 's' and closed or how == 'c' and tonumber(of) ~= sure then return { 'gone' } end
call('HDEL', key, '')
call('HSET', key, 'e', epoch, 'm', '2s' .. meta:sub(3))
return done(left)
"];
}

/// How every script on an owner begins. Its keys: the epoch, the epoch that is drawn next, the sessions by
/// the instant until which they are noted, and when each of them logged in: 'r' before it is a place that is
/// reserved for a login under way, 'x' one that another login took.
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
    /// now, handle, for how long the set is to know it, when it logged in ('now', or 'known' to the set already), the limit ('': none),
    /// what happens beyond it ('r'efused), whether the others were looked at, those of them that are not there:
    /// the epoch and the sessions that are to end, or the sessions that are to be looked at.
    ENTER = ["
local handle, noted, since, max, at_limit, looked = unpack(ARGV, 2, 7)
local surplus, gone, rank = {}, {}, now
if max ~= '' then
    local places, is_gone, others, unseen = call('HGETALL', logins), {}, {}, {}
    for i = 8, #ARGV do is_gone[ARGV[i]] = true end
    for i = 1, #places, 2 do
        local name, place = places[i], places[i + 1]
        local at = tonumber((place:gsub('^[rx]', '')))
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
        table.sort(others, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
        for i = 1, math.min(over, #others) do surplus[#surplus + 1] = others[i][2] end
    end
end
call('ZADD', sessions, 'GT', now + noted, handle)
if since == 'now' then call('HSET', logins, handle, 'r' .. string.format('%.0f', rank))
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
    call('HSET', logins, ARGV[2], place:sub(2))
end
return { 'counts' }
"];
    /// now, handle, ..: those whose places another login took have ended.
    LEAVE = ["
local gone = {}
for i = 2, #ARGV do
    local place = call('HGET', logins, ARGV[i])
    if place and place:byte() == TAKEN then gone[#gone + 1] = ARGV[i] end
end
forget(gone)
return { 'counts' }
"];
    /// now: draws the epoch to come, and no two calls get the same. Or now, epoch: from then on all earlier logins are
    /// over; the epoch before, and the sessions.
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
    /// now, handle, time in milliseconds. Tidies a little each time, so that no caller waits for all of it.
    NOTE = ["
local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 16)
if #over > 0 then redis.call('ZREM', index, unpack(over)) end
redis.call('ZADD', index, 'GT', now + ARGV[3], ARGV[2])
if redis.call('PTTL', index) < tonumber(ARGV[3]) then redis.call('PEXPIRE', index, ARGV[3]) end
return { 'counts' }
"];
}
