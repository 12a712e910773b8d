//! Lua scripts: their type, and the parts that the scripts on a session share.
//!
//! If a server's memory is full, it refuses a script whose first write is a command that may need
//! memory, and does not check the later writes. So a script that makes data grow begins with `HSET`
//! or `ZADD`, and is refused. A script that ends sessions or makes them smaller begins with a
//! removal (of an absent field, if it has nothing to remove), and the server runs it.
//!
//! Each script contains a copy of the shared parts, because calling a Lua function would cost more.

use std::borrow::Cow;
pub(super) use std::sync::LazyLock;

/// An argument of a script.
pub(super) type Arg<'a> = Cow<'a, [u8]>;

/// Stands for an absent time or epoch: 2^53, beyond which Lua's numbers are not exact.
pub(super) const NONE: u64 = 1 << 53;

/// A script, and the hash by which a server finds the script after its first run.
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

/// The beginning of every script on a session. `KEYS[1]` is the session's key, and `KEYS[2]`, if
/// present, is the key of its end reason. `ARGV[1]` is the [invocation](super::invocation). The
/// script's own arguments begin there at offset `rest`. To unpack a field costs Lua as much as ten
/// steps, so the scripts that need one of the rarer fields unpack it themselves, by its offset.
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

/// Reads the fields `m` (meta) and `x`, because every commit needs both.
pub(super) const READ_BOTH: &str = "
local meta, tail = unpack(call('HMGET', key, 'm', 'x'))
";

/// Reads only the field `m` (meta), which is enough if the session was not rotated.
pub(super) const READ: &str = "
local tail, meta = false, call('HGET', key, 'm')
";

/// Unpacks the [row](super::row) into locals. If there is no live session, `meta` is false. If the
/// id does not open the session, `closed` is the reason, unless the request has already opened this
/// incarnation. Most rows begin with `usual`: the known layout, a confirmed login, and the digest
/// of the presented secret.
///
/// The digests come from 128 random bits, so they are compared like any text. The time of the
/// comparison says nothing about the secret.
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

/// Returns the version, the time `full` and, if the id is to be renewed, the seed of its successor.
/// This part is not a Lua function, because each outer local that a function reads would cost as
/// much as a command.
pub(super) const DONE: &str = "
return struct.pack('>c4I4I8', incarnation, saves, full)
    .. (kind == PENDING and start:sub(3) == usual:sub(3) and seed or '')
";

/// If the login is not confirmed yet, returns to the client, which must confirm the login first.
pub(super) const ASK_UNCONFIRMED: &str = "
if is_unconfirmed then
    local owner, epoch = unpack(call('HMGET', key, 'o', 'e'))
    if tonumber(epoch) ~= struct.unpack('>I8', args, 59) then return { 'ask', owner, epoch } end
end
";

/// Computes `left`, the milliseconds that the session has left.
pub(super) const LEFT: &str = "
local left = manual and (call('HGET', key, 'd') or 0) - now or call('PTTL', key)
";

/// Computes `full`, the milliseconds from now that a visit or a commit gives the session.
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

/// Writes the row and the entries to set. If `is_plain` is true, only the counts at the end of the
/// meta field change.
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

/// Sets the deadline: `full` milliseconds from now.
pub(super) const EXPIRE: &str = "
if manual then call('HSET', key, 'd', now + full) end
answer = call('PEXPIRE', key, manual and 86400000 or string.format('%d', full))
";

/// Refuses a login that was revoked or has no slot under the owner's limit. A login without an
/// epoch has no slot. On one server the script reads the slot and the epoch from the owner's keys.
/// A script in a cluster does not have these keys, so the session's next look confirms the login.
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

/// After a login was written, stores its epoch in the row and makes its reserved slot permanent.
pub(super) const LOG_IN: &str = "
if logs_in == 1 then
    call('HSET', key, 'e', epoch)
    local slot = logins and call('HGET', logins, handle)
    if slot and slot:byte() == 114 then call('HSET', logins, handle, slot:match('^r(%d+)')) end
end
";
