//! The scripts: one for each thing that is to happen at one instant, to a session or to an owner.
//!
//! On a server whose memory is full a script fails with its first write, if that one may need memory, or not at all: what
//! comes first decides. So whatever makes the data grow begins with `HSET` or `ZADD` and is refused; whatever ends sessions
//! or makes them smaller begins with a removal, even of nothing, and is carried out.

use std::sync::LazyLock;

/// A script, and the name that a server knows it by once it has seen it.
pub(super) struct Script {
    pub(super) code: String,
    pub(super) hash: String,
    /// Whether it looks at more than its first key. While a cluster moves a slot, it runs no script that names a key that is there and
    /// one that is not.
    pub(super) needs_all_keys: bool,
}

fn script(parts: &[&str]) -> Script {
    let code = parts.concat();
    let hash = ::redis::Script::new(&code).get_hash().to_owned();
    let needs_all_keys = parts.iter().skip(1).any(|part| part.contains("why"));
    Script { code, hash, needs_all_keys }
}

macro_rules! scripts {
    ($prelude:ident: $($(#[$doc:meta])* $name:ident = [$($part:expr),+];)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> = LazyLock::new(|| script(&[$prelude, $($part),+]));)*
    };
}

/// The number of the layout that these scripts read and write.
pub(super) const FORMAT: &str = "1";

/// What every script on a session starts with: `by`, if there is something in the way, is the answer to give at once. Its keys: the
/// session, and why it was ended. Its first arguments: how the [meta field](super::fields) begins if nothing is in the way, which
/// ends with the digest of the secret (nothing: of whoever has no id); the time to live in milliseconds; and what the caller has found
/// out, usually nothing: the epoch of a login that counts, a space, "noted" if the indexes know the session for long enough
/// whoever its owner is ("for" and an owner: if it is this one).
///
/// The usual session takes one command and one comparison. What is shared is pasted in: calling a function costs Lua as much as
/// a command, and so do six arguments.
///
/// Digests of 128 random bits may be compared like any text: how far a guess got says nothing about the secret.
const SESSION: &str = "
    local key, why, call = KEYS[1], KEYS[2], redis.call
    local usual, ttl, found = ARGV[1], ARGV[2], ARGV[3]
    local digest, sure, noted
    if found ~= '' then sure, noted = found:match('^(%d*) (.*)$') end
    local meta = call('HGET', key, 'm')
    local by
    if not meta or meta:sub(1, #usual) ~= usual or #meta ~= 49 then
        digest = usual:sub(3)
        if not meta then
            by = 'Gone'
        elseif meta:byte() ~= 49 or #meta ~= 49 then
            by = { 'Format', meta:byte() ~= 49 and meta:sub(1, 1) or '' }
        elseif digest ~= '' and digest ~= meta:sub(3, 18) then
            local previous, over = unpack(call('HMGET', key, 'p', 'g'))
            local time = call('TIME')
            local is_over = over and time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(over)
            if previous ~= digest or is_over then by = 'Dead' end
        end
        if not by and meta:byte(2) == 117 then
            local owner, epoch = unpack(call('HMGET', key, 'o', 'e'))
            if sure ~= epoch then by = { 'Ask', owner, epoch } end
        end
    end
";

/// Gives the answer if there is something in the way.
const UNLESS_REFUSED: &str = "
    if by then return by end
";

const NOW: &str = "
    local time = call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// Asks to be noted if the session is to live longer than the indexes know it. After [`NOW`].
const UNLESS_UNNOTED: &str = "
    noted = noted and (noted == 'noted' or noted == 'for ' .. (call('HGET', key, 'o') or ''))
    local known = meta:sub(19, 26)
    if noted then
        known = struct.pack('>I8', now + 2 * ttl)
    elseif now + ttl > struct.unpack('>I8', known) then
        return { 'Note', call('HGET', key, 'o') }
    end
";

/// Gives the session its time.
const LIVES: &str = "
    if ttl == '0' then call('DEL', key) else call('PEXPIRE', key, ttl) end
    return 'Done'
";

/// Stores a session.
const BEGINS: &str = "
    call('HSET', key, 'm', '1' .. ARGV[4] .. usual:sub(3) .. struct.pack('>I8', now + 2 * ttl) .. ARGV[5], unpack(ARGV, 6))
    call('DEL', why)
";

/// Ends the session for the reason that is the fourth argument.
const ENDS: &str = "
    call('DEL', key)
    call('SET', why, ARGV[4] .. meta:sub(3, 18), 'PX', 3600000)
";

scripts! {
    SESSION:
    /// .., whether its login is sure, the rest of the meta field, field, value, field, value, ...
    CREATE = ["
        if meta then return 'Conflict' end
    ", NOW, BEGINS, LIVES];
    /// The same, in the place of the session that the id opens, if there is one.
    SET = ["
        if meta then
            if by then return by end
            if digest and meta:sub(3, 18) ~= digest then return 'Dead' end
            call('DEL', key)
        end
    ", NOW, BEGINS, LIVES];
    /// On one server this is asked only when a [plain reading](super::connections) is not enough.
    GET = [UNLESS_REFUSED, "
        return { call('PTTL', key), call('HGETALL', key), digest and meta:sub(3, 18) ~= digest and 1 or 0 }
    "];
    /// The same for whoever has no id.
    PEEK = [UNLESS_REFUSED, "
        return { call('PTTL', key), call('HGETALL', key), 0 }
    "];
    /// Whether there is one.
    IS_THERE = ["
        if not meta then return 0 end
        if type(by) == 'table' and by[1] == 'Ask' then return by end
        return 1
    "];
    /// Whether there was one.
    WIPE = ["
        call('DEL', why)
        return call('DEL', key)
    "];
    /// .., [plan](super::fields::of_changes), field and value of each to set, the field of each to remove, and how the fields begin that
    /// are cleared. All is worked out before anything is written: a script that stops halfway is not rolled back.
    SAVE = [UNLESS_REFUSED, NOW, UNLESS_UNNOTED, SAVES, LIVES];
    TOUCH = [UNLESS_REFUSED, NOW, UNLESS_UNNOTED, "
        if noted then call('HSET', key, 'm', meta:sub(1, 18) .. known .. meta:sub(27)) end
    ", LIVES];
    /// .., new digest. The time to live is that of the old id.
    ROTATE = [UNLESS_REFUSED, NOW, "
        if digest and meta:sub(3, 18) ~= digest then return 'Gone' end
        local renewed = meta:sub(1, 2) .. ARGV[4] .. meta:sub(19)
        call('HSET', key, 'm', renewed, 'p', usual:sub(3), 'g', string.format('%.0f', now + ttl))
        return 'Done'
    "];
    DESTROY = [UNLESS_REFUSED, "
        call('DEL', key)
        return 'Done'
    "];
    /// .., owner: the login that this session began with, in the epoch that is sure, has been found to count.
    CONFIRM = ["
        local owner, epoch = unpack(call('HMGET', key, 'o', 'e'))
        if not meta or owner ~= ARGV[4] or epoch ~= sure then return 'Gone' end
        call('HDEL', key, '')
        call('HSET', key, 'm', '1s' .. meta:sub(3))
        return 'Done'
    "];
    /// .., reason
    DESTROY_HANDLE = [UNLESS_REFUSED, ENDS, "
        return 'Done'
    "];
    /// .., reason, owner, epoch, the epoch before: ends a session of this owner from before this epoch. Whether it was one that
    /// anybody could find.
    BURY = ["
        local owner, of = unpack(call('HMGET', key, 'o', 'e'))
        if not meta or owner ~= ARGV[5] or tonumber(of) >= tonumber(ARGV[6]) then return 0 end
    ", ENDS, "
        if meta:byte(2) == 117 and tonumber(of) < tonumber(ARGV[7]) then return 0 end
        return 1
    "];
    /// .., owner, the epoch to come: this session will be of it.
    SPARE = [UNLESS_REFUSED, "
        if call('HGET', key, 'o') ~= ARGV[4] then return 'Gone' end
        call('HDEL', key, '')
        call('HSET', key, 'e', ARGV[5], 'm', '1s' .. meta:sub(3))
        return 'Done'
    "];
    WHY = ["
        local told = call('GET', why)
        if told and told:sub(2) == usual:sub(3) then return told:sub(1, 1) end
    "];
}

/// The size is what the entries take at most: what a save replaces and removes is not looked at, each look would cost as much as
/// the writing. When that sum is over a limit, all is counted; when even half of a limit is really used, what is replaced and removed is
/// measured from then on, so that a large session is not counted again and again. All is read, too, when more is to be removed than there
/// can be: a command takes only so many arguments.
const SAVES: &str = "
    local expected, version, most, most_bytes, more, more_bytes, set, removed, login =
        struct.unpack('>c1c8I4I4I4I4I4I4c1', ARGV[4])
    local incarnation, saves, bytes, entries, exact, created = struct.unpack('>c4I4I4I2Bc8', meta, 27)
    if incarnation ~= version:sub(1, 4) then return 'Gone' end
    if expected == 'e' and meta:sub(27, 34) ~= version then return 'Conflict' end
    local gone
    entries, bytes = entries + more, bytes + more_bytes
    if exact == 1 then
        for i = 5, removed do
            local field = ARGV[i]
            if (i > set or i % 2 == 1) and field:byte() == 107 then
                -- No value is empty, so without a length there is none.
                local length = call('HSTRLEN', key, field)
                if length > 0 then entries, bytes = entries - 1, bytes - #field - length end
            end
        end
    end
    if #ARGV > removed or removed - set > most or entries > most or bytes > most_bytes then
        entries, bytes, gone = more, more_bytes, {}
        local changed = {}
        for i = 5, set, 2 do changed[ARGV[i]] = 'set' end
        for i = set + 1, removed do changed[ARGV[i]] = 'removed' end
        local stored = call('HGETALL', key)
        for i = 1, #stored, 2 do
            local field = stored[i]
            local change = changed[field]
            for n = removed + 1, #ARGV do
                if not change and field:sub(1, #ARGV[n]) == ARGV[n] then change = 'removed' end
            end
            if change == 'removed' then
                gone[#gone + 1] = field
            elseif not change and field:byte() == 107 then
                entries, bytes = entries + 1, bytes + #field + #stored[i + 1]
            end
        end
        if entries > most then return { 'Keys', entries } end
        if bytes > most_bytes then return { 'Bytes', bytes } end
        exact = 1
    elseif removed > set then
        gone = { unpack(ARGV, set + 1, removed) }
    end
    if bytes * 2 <= most_bytes and entries * 2 <= most then exact = 0 end
    local start = login == '-' and meta:sub(1, 18) or '1' .. login .. meta:sub(3, 18)
    meta = start .. known .. incarnation
        .. struct.pack('>I4I4I2B', (saves + 1) % 4294967296, bytes, entries, exact) .. created
    -- What only makes it smaller begins with that.
    local smaller = set == 4
    if smaller then call('HDEL', key, '', unpack(gone or {})) end
    call('HSET', key, 'm', meta, unpack(ARGV, 5, set))
    if gone and not smaller then call('HDEL', key, '', unpack(gone)) end
";

/// What every script on an owner starts with. Its keys: the epoch, the epoch that is drawn next, and the sessions by the
/// instant until which they are noted.
const OWNER: &str = "
    local epoch, following, sessions = KEYS[1], KEYS[2], KEYS[3]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local current = redis.call('GET', epoch) or '0'
    local function tidy()
        redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now)
    end
    local function keep()
        local last = redis.call('ZRANGE', sessions, -1, -1, 'WITHSCORES')[2] or 0
        redis.call('PEXPIREAT', sessions, string.format('%.0f', last))
        last = string.format('%.0f', math.max(tonumber(last), now + 86400000))
        redis.call('PEXPIREAT', epoch, last)
        redis.call('PEXPIREAT', following, last)
    end
";

scripts! {
    OWNER:
    EPOCH = ["return current"];
    /// handle, time in milliseconds: the set is to know this session for so long at least.
    ENTER = ["
        redis.call('ZADD', sessions, 'GT', string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
        tidy()
        keep()
        return current
    "];
    /// Draws the epoch to come. No two calls get the same.
    RESERVE = ["
        local drawn = math.max(tonumber(redis.call('GET', following) or 0) + 1, tonumber(current) + 1, now)
        tidy()
        redis.call('SET', following, string.format('%.0f', drawn))
        keep()
        return string.format('%.0f', drawn)
    "];
    /// epoch: from now on all earlier logins are over. The epoch before, and the sessions.
    RAISE = ["
        local raised = math.max(tonumber(ARGV[1]), tonumber(current))
        tidy()
        redis.call('SET', epoch, string.format('%.0f', raised))
        keep()
        return { current, redis.call('ZRANGE', sessions, 0, -1) }
    "];
    LIST = ["
        return redis.call('ZRANGEBYSCORE', sessions, now, '+inf')
    "];
}

/// What every script on a part of the index of all sessions starts with. Handles by the instant until which they are noted.
const INDEX: &str = "
    local index = KEYS[1]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

scripts! {
    INDEX:
    /// handle, time in milliseconds. Tidies a little each time, so that nobody waits for all of it.
    NOTE = ["
        local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 16)
        if #over > 0 then redis.call('ZREM', index, unpack(over)) end
        local last = string.format('%.0f', now + tonumber(ARGV[2]))
        redis.call('ZADD', index, 'GT', last, ARGV[1])
        if redis.call('PTTL', index) < tonumber(ARGV[2]) then redis.call('PEXPIREAT', index, last) end
        return 'Done'
    "];
    INDEXED = ["
        return redis.call('ZRANGEBYSCORE', index, now, '+inf')
    "];
    /// handle, ..
    FORGET = ["
        return redis.call('ZREM', index, unpack(ARGV))
    "];
}
