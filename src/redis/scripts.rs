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
/// session, and why it was ended. Its first arguments: the digest of the secret (empty: of whoever has no id), the time to live in
/// milliseconds, "noted" if the indexes know the session for long enough whoever its owner is ("for" and an owner: if it is this
/// one), and the epoch of a login that the caller has found to count.
///
/// The usual session takes one command. What is shared is pasted in: calling a function costs Lua as much as a command.
///
/// Digests of 128 random bits may be compared like any text: how far a guess got says nothing about the secret.
const SESSION: &str = "
    local key, why = KEYS[1], KEYS[2]
    local digest, ttl, sure = ARGV[1], tonumber(ARGV[2]), ARGV[4]
    local format, current, known, owner, unsure, version, bytes =
        unpack(redis.call('HMGET', key, 'f', 'd', 'n', 'o', 'q', 'v', 's'))
    local by, epoch
    if current ~= digest or format ~= '1' or unsure then
        epoch = unsure and redis.call('HGET', key, 'e')
        if not current then
            by = 'Gone'
        elseif format ~= '1' then
            by = { 'Format', format }
        elseif current ~= digest and digest ~= '' then
            local previous, over = unpack(redis.call('HMGET', key, 'p', 'g'))
            local time = redis.call('TIME')
            local is_over = over and time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(over)
            if previous ~= digest or is_over then by = 'Dead' end
        end
        if not by and unsure and sure ~= epoch then by = { 'Ask', owner, epoch } end
    end
";

/// Gives the answer if there is something in the way.
const UNLESS_REFUSED: &str = "
    if by then return by end
";

const NOW: &str = "
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// Asks to be noted if the session is to live longer than the indexes know it. After [`NOW`].
const UNLESS_UNNOTED: &str = "
    local noted = ARGV[3] == 'noted' or ARGV[3] ~= '' and ARGV[3] == 'for ' .. (owner or '')
    if not noted and now + ttl > tonumber(known) then return { 'Note', owner } end
";

/// Gives the session its time. After [`UNLESS_UNNOTED`].
const LIVES: &str = "
    if ttl == 0 then
        redis.call('DEL', key)
    else
        if noted then redis.call('HSET', key, 'n', string.format('%.0f', now + 2 * ttl)) end
        redis.call('PEXPIRE', key, ARGV[2])
    end
    return 'Done'
";

/// Stores a session and gives it its time.
const BEGINS: &str = "
    redis.call('HSET', key, 'f', '1', 'd', digest, unpack(ARGV, 5))
    redis.call('DEL', why)
    local noted = true
";

/// Ends the session for the reason that is the fifth argument.
const ENDS: &str = "
    redis.call('DEL', key)
    redis.call('SET', why, ARGV[5] .. current, 'PX', 3600000)
";

scripts! {
    SESSION:
    /// .., field, value, field, value, ...
    CREATE = ["
        if current then return 'Conflict' end
    ", NOW, BEGINS, LIVES];
    /// The same, in the place of the session that the id opens, if there is one.
    SET = ["
        if current then
            if by then return by end
            if current ~= digest then return 'Dead' end
            redis.call('DEL', key)
        end
    ", NOW, BEGINS, LIVES];
    /// On one server this is asked only when a [plain reading](super::connections) is not enough.
    GET = [UNLESS_REFUSED, "
        return { redis.call('PTTL', key), redis.call('HGETALL', key), current ~= digest and 1 or 0 }
    "];
    /// The same for whoever has no id.
    PEEK = [UNLESS_REFUSED, "
        return { redis.call('PTTL', key), redis.call('HGETALL', key), 0 }
    "];
    /// Whether there is one.
    IS_THERE = ["
        if not current then return 0 end
        if type(by) == 'table' and by[1] == 'Ask' then return by end
        return 1
    "];
    /// Whether there was one.
    WIPE = ["
        redis.call('DEL', why)
        return redis.call('DEL', key)
    "];
    /// .., 'exactly' or 'incarnation', version, most entries, most bytes, then 'clear' prefix, 'del' field, 'set' field value. All is
    /// worked out before anything is written: a script that stops halfway is not rolled back.
    SAVE = [UNLESS_REFUSED, NOW, UNLESS_UNNOTED, SAVES, LIVES];
    TOUCH = [UNLESS_REFUSED, NOW, UNLESS_UNNOTED, LIVES];
    /// .., new digest. The time to live is that of the old id.
    ROTATE = [UNLESS_REFUSED, NOW, "
        if current ~= digest then return 'Gone' end
        redis.call('HSET', key, 'd', ARGV[5], 'p', digest, 'g', string.format('%.0f', now + ttl))
        return 'Done'
    "];
    DESTROY = [UNLESS_REFUSED, "
        redis.call('DEL', key)
        return 'Done'
    "];
    /// .., owner: the login that this session began with, in the epoch that is sure, has been found to count.
    CONFIRM = ["
        if not current or owner ~= ARGV[5] or redis.call('HGET', key, 'e') ~= sure then return 'Gone' end
        redis.call('HDEL', key, 'q')
        return 'Done'
    "];
    /// .., reason
    DESTROY_HANDLE = [UNLESS_REFUSED, ENDS, "
        return 'Done'
    "];
    /// .., reason, owner, epoch, the epoch before: ends a session of this owner from before this epoch. Whether it was one that
    /// anybody could find.
    BURY = ["
        if not current or owner ~= ARGV[6] then return 0 end
        local of = tonumber(redis.call('HGET', key, 'e'))
        if of >= tonumber(ARGV[7]) then return 0 end
    ", ENDS, "
        if unsure and of < tonumber(ARGV[8]) then return 0 end
        return 1
    "];
    /// .., owner, the epoch to come: this session will be of it.
    SPARE = [UNLESS_REFUSED, "
        if owner ~= ARGV[5] then return 'Gone' end
        redis.call('HDEL', key, 'q')
        redis.call('HSET', key, 'e', ARGV[6])
        return 'Done'
    "];
    WHY = ["
        local told = redis.call('GET', why)
        if told and told:sub(2) == digest then return told:sub(1, 1) end
    "];
}

const SAVES: &str = "
    if version:sub(1, 8) ~= ARGV[6]:sub(1, 8) then return 'Gone' end
    if ARGV[5] == 'exactly' and version ~= ARGV[6] then return 'Conflict' end
    local set, gone, fields, i = {}, {}, redis.call('HLEN', key), 9
    local function forget(field)
        -- No value is empty, so without a length there is none.
        local length = gone[field] and 0 or redis.call('HSTRLEN', key, field)
        if length == 0 then return false end
        fields = fields - 1
        if field:byte() == 107 then bytes = bytes - #field - length end
        return true
    end
    while ARGV[i] do
        local verb, field, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
        if verb == 'set' then
            forget(field)
            gone[field], fields, i = nil, fields + 1, i + 1
            if field:byte() == 107 then bytes = bytes + #field + #value end
            set[#set + 1], set[#set + 2] = field, value
        elseif verb == 'del' then
            if forget(field) then gone[field] = true end
        else
            for _, name in ipairs(redis.call('HKEYS', key)) do
                if name:sub(1, #field) == field and forget(name) then gone[name] = true end
            end
        end
        i = i + 2
    end
    if fields > tonumber(ARGV[7]) then
        -- Some of them are ours.
        local ours = { f = 1, v = 1, c = 1, d = 1, s = 1, n = 1 }
        for n = 1, #set, 2 do if set[n]:byte() ~= 107 then ours[set[n]] = 1 end end
        for _, name in ipairs(redis.call('HKEYS', key)) do
            if name:byte() ~= 107 and not gone[name] then ours[name] = 1 end
        end
        for _ in pairs(ours) do fields = fields - 1 end
        if fields > tonumber(ARGV[7]) then return { 'Keys', fields } end
    end
    if tonumber(bytes) > tonumber(ARGV[8]) then return { 'Bytes', bytes } end
    local removed = {}
    for name in pairs(gone) do removed[#removed + 1] = name end
    local next = version:sub(1, 8) .. string.format('%08x', (tonumber(version:sub(9), 16) + 1) % 4294967296)
    -- What only makes it smaller begins with that.
    local first = #set == 0
    if first and #removed > 0 then redis.call('HDEL', key, unpack(removed)) end
    redis.call('HSET', key, 'v', next, 's', bytes, unpack(set))
    if not first and #removed > 0 then redis.call('HDEL', key, unpack(removed)) end
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
