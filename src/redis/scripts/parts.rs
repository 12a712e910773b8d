//! The parts that the scripts on a session are made of, in Lua.
//!
//! What scripts share is pasted into them: a call costs Lua more than the text.

/// How every script on a session begins. Its key is the session; `KEYS[2]`, where a script has it,
/// says why the session was ended. `ARGV[1]` is the [plan](crate::redis::plan::Plan), of which the
/// script's own part begins at `rest`. Fields that few calls need are unpacked where they are
/// needed, by their places: each costs Lua as much as ten steps.
pub(super) const PLAN: &str = "
local key, call, plan = KEYS[1], redis.call, ARGV[1]
local NONE, NEVER, FOREVER, NO_TIME = 9007199254740992, 9007199254740991, 3153600000000, 281474976710655
local SUPERSEDED, PENDING, PREVIOUS = 1, 2, 3
local now, usual, idle, life, noted, rest = struct.unpack('>I8c18I8I8I8I2', plan, 2)
local manual = now > 0
if not manual then
    local time = call('TIME')
    now = time[1] * 1000 + time[2] / 1000
    now = now - now % 1
end
";

/// Reads the two fields that every commit needs.
pub(super) const READS_BOTH: &str = "
local meta, tail = unpack(call('HMGET', key, 'm', 'x'))
";

/// Reads the one that is enough if the session was not rotated.
pub(super) const READS: &str = "
local tail, meta = false, call('HGET', key, 'm')
";

/// Reads the [row](crate::redis::row) into locals; `meta` is false if there is no live one. Then
/// `closed` says why the id does not open it, if the session is not held. The usual row begins as
/// the plan says: its layout is known, its login is sure, and the id is the current one.
///
/// Digests of 128 random bits may be compared like any text: how far a guess got says nothing about
/// the secret.
pub(super) const SESSION: &str = "
local is_stale = meta and manual and tonumber(call('HGET', key, 'd') or 0) <= now
if is_stale then meta = false end
local start, kind, known, incarnation, created, since, id_since, timeout, saves, bytes, entries, flags
local second, seed, over, full, is_unsure, closed, is_successor, answer
local nonces, exact, remembered, owned = '', 0, 0, 0
if meta then
    if #meta ~= 64 then return { 'format', meta:sub(1, 1) } end
    start, kind, known, incarnation, created, since, id_since, timeout, saves, bytes, entries, flags =
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
        is_unsure = meta:byte(2) == 117
        if start:sub(3) == usual:sub(3) then
            closed = kind == PENDING and over <= now and 'superseded'
        elseif second ~= usual:sub(3) then
            closed = 'gone'
        elseif kind == PENDING then
            is_successor = true
        else
            closed = (kind == SUPERSEDED or over <= now) and 'superseded'
        end
        if closed and plan:sub(54, 58) == '\\1' .. incarnation then closed = false end
    end
end
";

/// That it is done, and the session has `full` time. (No function: each local that it looked at
/// would cost as much as a command.)
pub(super) const DONE: &str = "
return struct.pack('>c4I4I8', incarnation, saves, full)
    .. (kind == PENDING and start:sub(3) == usual:sub(3) and seed or '')
";

/// Asks whether a login counts that was not confirmed yet.
pub(super) const UNLESS_UNSURE: &str = "
if is_unsure then
    local owner, epoch = unpack(call('HMGET', key, 'o', 'e'))
    if tonumber(epoch) ~= struct.unpack('>I8', plan, 59) then return { 'ask', owner, epoch } end
end
";

/// What the session has left.
pub(super) const LEFT: &str = "
local left = manual and (call('HGET', key, 'd') or 0) - now or call('PTTL', key)
";

/// The time that a visit or a commit gives the session now.
pub(super) const FULL: &str = "
if remembered == 1 then idle, life = struct.unpack('>I8I8', plan, 68) end
full = timeout < NO_TIME and timeout or idle
if full > FOREVER then full = FOREVER end
local began = since > created and since or created
if life < NONE and began > 0 then
    local spent = now > began and now - began or 0
    if life - spent < full then full = life > spent and life - spent or 0 end
end
";

/// Writes the row, and as more fields what follows. `is_plain`: but for the counts the meta field
/// is as it was.
pub(super) const WRITES: &str = "
local front = is_plain and meta
    or start .. struct.pack('>BI6c4I6I6I6I6', kind, known, incarnation, created, since, id_since, timeout)
local m = struct.pack('>c53I4I4I2B', front, saves, bytes, entries, exact + 2 * remembered + 4 * owned)
local x = kind > 0 and second .. seed .. struct.pack('>I8', over) .. nonces or nonces
if x == '' then
    answer = call('HSET', key, 'm', m, unpack(ARGV, 2, set))
else
    answer = call('HSET', key, 'm', m, 'x', x, unpack(ARGV, 2, set))
end
";

/// Gives the session its time.
pub(super) const LIVES: &str = "
if manual then call('HSET', key, 'd', now + full) end
answer = call('PEXPIRE', key, manual and 86400000 or string.format('%d', full))
";

/// A login, if `logs_in`: whether it counts. Without an epoch it has no place. On one server the
/// owner's keys are at hand, so it counts at once or not at all; in a cluster it is confirmed when
/// the session is next looked at.
pub(super) const UNLESS_REFUSED: &str = "
local epoch, handle, logins = NONE, '', KEYS[4]
if logs_in == 1 then
    local begun
    begun, epoch, handle = struct.unpack('>I8I8c11', plan, rest)
    local place = epoch < NONE
    if logins then
        place = place and call('HGET', logins, handle)
        place = place and place:byte() ~= 120
        epoch = tonumber(call('GET', KEYS[3]) or 0)
    end
    if (place or logins) and begun < epoch then return { 'revoked' } end
    if not place then return { 'limit' } end
end
";

/// The same once it is written.
pub(super) const LOGGED_IN: &str = "
if logs_in == 1 then
    call('HSET', key, 'e', epoch)
    local place = logins and call('HGET', logins, handle)
    if place and place:byte() == 114 then call('HSET', logins, handle, place:match('^r(%d+)')) end
end
";
