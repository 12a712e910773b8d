//! Lua scripts: their type, and the parts that the scripts on a session share.
//!
//! A server whose memory is full refuses a script at its first write if that write may need memory,
//! and never later. So a script that makes data grow begins with `HSET` or `ZADD` and is refused. A
//! script that ends sessions or makes them smaller begins with a removal, even of nothing, and is
//! carried out.
//!
//! Shared parts are pasted into the scripts, because a function call costs Lua more than the text.

use std::borrow::Cow;
pub(super) use std::sync::LazyLock;

/// An argument of a script.
pub(super) type Arg<'a> = Cow<'a, [u8]>;

/// No time, no epoch: 2^53, from where on Lua's numbers are not exact.
pub(super) const NONE: u64 = 1 << 53;

/// A script, and the hash that a server knows the script by after its first run.
pub(super) struct LuaScript {
    pub(super) code: String,
    pub(super) hash: String,
}

pub(super) fn script(parts: &[&str]) -> LuaScript {
    let code = parts.concat();
    let hash = ::redis::Script::new(&code).get_hash().to_owned();
    LuaScript { code, hash }
}

/// Declares scripts that begin with the same part.
macro_rules! scripts {
    ($prelude:ident: $($(#[$doc:meta])* $name:ident = [$($part:expr),+];)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<LuaScript> =
            LazyLock::new(|| script(&[$prelude, $($part),+]));)*
    };
}

pub(super) use scripts;

/// The beginning of every script on a session. `KEYS[1]` is the session; `KEYS[2]`, if a script has
/// it, is the key of the end reason. `ARGV[1]` is the [invocation](super::invocation), in which the
/// arguments of this script begin at `rest`. Fields that few scripts need are unpacked where they
/// are needed, by their offsets, because each costs Lua as much as ten steps.
pub(super) const INVOCATION: &str = "
local key, call, args = KEYS[1], redis.call, ARGV[1]
local NONE, NEVER, CENTURY, NO_TIMEOUT = 9007199254740992, 9007199254740991, 3153600000000, 281474976710655
local SUPERSEDED, PENDING, PREVIOUS = 1, 2, 3
local now, usual, idle, life, index_for, rest = struct.unpack('>I8c18I8I8I8I2', args, 2)
local manual = now > 0
if not manual then
    local time = call('TIME')
    now = time[1] * 1000 + time[2] / 1000
    now = now - now % 1
end
";

/// Reads the two fields that every commit needs.
pub(super) const READ_BOTH: &str = "
local meta, tail = unpack(call('HMGET', key, 'm', 'x'))
";

/// Reads the field that suffices if the session was not rotated.
pub(super) const READ: &str = "
local tail, meta = false, call('HGET', key, 'm')
";

/// Unpacks the [row](super::row) into locals; `meta` is false if there is no live session. If the
/// id does not open the session and the request does not hold it, `closed` says why. `usual` is the
/// beginning of most rows: the layout is known, the login is confirmed, the id is the current one.
///
/// Digests of 128 random bits may be compared like any text, because the time of the comparison
/// says nothing about the secret.
pub(super) const SESSION: &str = "
local is_stale = meta and manual and tonumber(call('HGET', key, 'd') or 0) <= now
if is_stale then meta = false end
local start, kind, indexed_until, incarnation, created, since, id_since, timeout, saves, bytes, entries, flags
local second, seed, over, full, is_unconfirmed, closed, is_successor, answer
local nonces, exact, remembered, owned = '', 0, 0, 0
if meta then
    if #meta ~= 64 then return { 'format', meta:sub(1, 1) } end
    start, kind, indexed_until, incarnation, created, since, id_since, timeout, saves, bytes, entries, flags =
        struct.unpack('>c18BI6c4I6I6I6I6I4I4I2B', meta)
    if start ~= usual and meta:byte() ~= 50 then return { 'format', meta:sub(1, 1) } end
    if flags > 0 then exact, remembered, owned = flags % 2, flags % 4 > 1 and 1 or 0, flags > 3 and 1 or 0 end
    if kind > 0 then
        tail = tail or call('HGET', key, 'x')
        second, seed, over = struct.unpack('>c16c8I8', tail)
        nonces = tail:sub(33)
    elseif tail then
        nonces = tail
    end
    if start ~= usual or kind == PENDING then
        is_unconfirmed = meta:byte(2) == 117
        if start:sub(3) == usual:sub(3) then
            closed = kind == PENDING and over <= now and 'superseded'
        elseif second ~= usual:sub(3) then
            closed = 'gone'
        elseif kind == PENDING then
            is_successor = true
        else
            closed = (kind == SUPERSEDED or over <= now) and 'superseded'
        end
        if closed and args:sub(54, 58) == '\\1' .. incarnation then closed = false end
    end
end
";

/// Returns the version and the time `full` that the session now has. (As a function, each local
/// that it reads would cost as much as a command.)
pub(super) const DONE: &str = "
return struct.pack('>c4I4I8', incarnation, saves, full)
    .. (kind == PENDING and start:sub(3) == usual:sub(3) and seed or '')
";

/// Asks to check a login that is not confirmed yet.
pub(super) const ASK_UNCONFIRMED: &str = "
if is_unconfirmed then
    local owner, epoch = unpack(call('HMGET', key, 'o', 'e'))
    if tonumber(epoch) ~= struct.unpack('>I8', args, 59) then return { 'ask', owner, epoch } end
end
";

/// The time that the session has left.
pub(super) const LEFT: &str = "
local left = manual and (call('HGET', key, 'd') or 0) - now or call('PTTL', key)
";

/// The time `full` that a visit or a commit gives the session now.
pub(super) const FULL: &str = "
if remembered == 1 then idle, life = struct.unpack('>I8I8', args, 68) end
full = timeout < NO_TIMEOUT and timeout or idle
if full > CENTURY then full = CENTURY end
local began = since > created and since or created
if life < NONE and began > 0 then
    local spent = now > began and now - began or 0
    if life - spent < full then full = life > spent and life - spent or 0 end
end
";

/// Writes the row and the entries to set. `is_plain`: only the counts of the meta field change.
pub(super) const WRITE: &str = "
local front = is_plain and meta
    or start .. struct.pack('>BI6c4I6I6I6I6', kind, indexed_until, incarnation, created, since, id_since, timeout)
local m = struct.pack('>c53I4I4I2B', front, saves, bytes, entries, exact + 2 * remembered + 4 * owned)
local x = kind > 0 and second .. seed .. struct.pack('>I8', over) .. nonces or nonces
if x == '' then
    answer = call('HSET', key, 'm', m, unpack(ARGV, 2, set))
else
    answer = call('HSET', key, 'm', m, 'x', x, unpack(ARGV, 2, set))
end
";

/// Sets the deadline.
pub(super) const EXPIRE: &str = "
if manual then call('HSET', key, 'd', now + full) end
answer = call('PEXPIRE', key, manual and 86400000 or string.format('%d', full))
";

/// Refuses a login that does not count. A login without an epoch has no slot under the owner's
/// limit. On one server the script has the owner's keys, so it decides here. In a cluster the login
/// is confirmed at the session's next look.
pub(super) const CHECK_LOGIN: &str = "
local epoch, handle, logins = NONE, '', KEYS[4]
if logs_in == 1 then
    local begun
    begun, epoch, handle = struct.unpack('>I8I8c11', args, rest)
    local slot = epoch < NONE
    if logins then
        slot = slot and call('HGET', logins, handle)
        slot = slot and slot:byte() ~= 120
        epoch = tonumber(call('GET', KEYS[3]) or 0)
    end
    if (slot or logins) and begun < epoch then return { 'revoked' } end
    if not slot then return { 'limit' } end
end
";

/// Notes a login in the owner's keys after it is written.
pub(super) const LOG_IN: &str = "
if logs_in == 1 then
    call('HSET', key, 'e', epoch)
    local slot = logins and call('HGET', logins, handle)
    if slot and slot:byte() == 114 then call('HSET', logins, handle, slot:match('^r(%d+)')) end
end
";
