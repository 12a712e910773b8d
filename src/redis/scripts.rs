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

fn script(prelude: &str, body: &str) -> Script {
    let code = format!("{prelude}{body}");
    let hash = ::redis::Script::new(&code).get_hash().to_owned();
    Script { code, hash, needs_all_keys: body.contains("why") || body.contains("ends(") }
}

macro_rules! scripts {
    ($prelude:ident: $($(#[$doc:meta])* $name:ident = $body:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> = LazyLock::new(|| script($prelude, $body));)*
    };
}

/// The number of the layout that these scripts read and write.
pub(super) const FORMAT: &str = "1";

/// What every script on a session starts with. Its keys: the session, and why it was ended. Its first arguments: the digest of
/// the secret, the time to live in milliseconds, "noted" if the indexes know the session for long enough whoever its owner is
/// ("for" and an owner: if it is this one), and the epoch of a login that the caller has found to count.
///
/// A server whose memory is full refuses the first write of a script that may take more of it, and after that lets it finish. So
/// what adds a session starts with such a write, and what ends sessions starts with a deletion.
///
/// Digests of 128 random bits may be compared like any text: how far a guess got says nothing about the secret.
const SESSION: &str = "
    local key, why = KEYS[1], KEYS[2]
    local digest, ttl, sure = ARGV[1], tonumber(ARGV[2]), ARGV[4]
    local format, current, known, owner, unsure = unpack(redis.call('HMGET', key, 'f', 'd', 'n', 'o', 'q'))
    local function now()
        local time = redis.call('TIME')
        return time[1] * 1000 + math.floor(time[2] / 1000)
    end
    local function epoch() return redis.call('HGET', key, 'e') end
    local function asks()
        if unsure and sure ~= epoch() then return { 'Ask', owner, epoch() } end
    end
    local function in_grace()
        local previous, over = unpack(redis.call('HMGET', key, 'p', 'g'))
        return previous == digest and now() < tonumber(over)
    end
    local noted = ARGV[3] == 'noted' or ARGV[3] == 'for ' .. (owner or '')
    local function closed()
        if not current then return 'Gone' end
        if format ~= '1' then return { 'Format', format } end
    end
    local function refused()
        local by = closed()
        if by then return by end
        if current ~= digest and not in_grace() then return 'Dead' end
        return asks()
    end
    local function unnoted()
        if not noted and now() + ttl > tonumber(known) then return { 'Note', owner } end
    end
    local function lives()
        if ttl == 0 then
            redis.call('DEL', key)
        else
            if noted then redis.call('HSET', key, 'n', string.format('%.0f', now() + 2 * ttl)) end
            redis.call('PEXPIRE', key, ARGV[2])
        end
        return 'Done'
    end
    local function ends(reason)
        redis.call('DEL', key)
        redis.call('SET', why, reason .. current, 'PX', 3600000)
    end
";

scripts! {
    SESSION:
    /// .., field, value, field, value, ...
    CREATE = "
        if current then return 'Conflict' end
        redis.call('HSET', key, 'f', '1', 'd', digest, unpack(ARGV, 5))
        redis.call('DEL', why)
        return lives()
    ";
    /// The same, in the place of the session that the id opens, if there is one.
    SET = "
        if current then
            local by = refused()
            if by then return by end
            if current ~= digest then return 'Dead' end
            redis.call('DEL', key)
        end
        redis.call('HSET', key, 'f', '1', 'd', digest, unpack(ARGV, 5))
        redis.call('DEL', why)
        return lives()
    ";
    /// On one server this is asked only when a [plain reading](super::connections) is not enough.
    GET = "
        local by = refused()
        if by then return by end
        return { redis.call('PTTL', key), redis.call('HGETALL', key), current ~= digest and 1 or 0 }
    ";
    /// The same for whoever has no id.
    PEEK = "
        local by = closed() or asks()
        if by then return by end
        return { redis.call('PTTL', key), redis.call('HGETALL', key), 0 }
    ";
    /// Whether there is one.
    LIVES = "
        if not current then return 0 end
        return asks() or 1
    ";
    /// Whether there was one.
    WIPE = "
        redis.call('DEL', why)
        return redis.call('DEL', key)
    ";
    /// .., 'exactly' or 'incarnation', version, most entries, most bytes, then 'clear' prefix, 'del' field, 'set' field value. All is
    /// worked out before anything is written: a script that stops halfway is not rolled back.
    SAVE = "
        local by = refused() or unnoted()
        if by then return by end
        local version, bytes = unpack(redis.call('HMGET', key, 'v', 's'))
        if version:sub(1, 8) ~= ARGV[6]:sub(1, 8) then return 'Gone' end
        if ARGV[5] == 'exactly' and version ~= ARGV[6] then return 'Conflict' end
        local set, gone, fields, i = {}, {}, redis.call('HLEN', key), 9
        local function is_entry(field) return field:sub(1, 1) == 'k' end
        local function forget(field)
            -- No value is empty, so without a length there is none.
            local length = gone[field] and 0 or redis.call('HSTRLEN', key, field)
            if length > 0 then
                fields = fields - 1
                if is_entry(field) then bytes = bytes - #field - length end
            end
            return length > 0
        end
        while ARGV[i] do
            local verb, field, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
            if verb == 'set' then
                forget(field)
                gone[field], fields, i = nil, fields + 1, i + 1
                if is_entry(field) then bytes = bytes + #field + #value end
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
            local ours = { f = 1, v = 1, c = 1, d = 1, s = 1, n = 1 }
            for n = 1, #set, 2 do if not is_entry(set[n]) then ours[set[n]] = 1 end end
            for _, name in ipairs(redis.call('HKEYS', key)) do
                if not is_entry(name) and not gone[name] then ours[name] = 1 end
            end
            for _ in pairs(ours) do fields = fields - 1 end
            if fields > tonumber(ARGV[7]) then return { 'Keys', fields } end
        end
        if tonumber(bytes) > tonumber(ARGV[8]) then return { 'Bytes', bytes } end
        local removed = {}
        for name in pairs(gone) do removed[#removed + 1] = name end
        local function remove()
            if #removed > 0 then redis.call('HDEL', key, unpack(removed)) end
        end
        local function write()
            local saves = (tonumber(version:sub(9), 16) + 1) % 4294967296
            local next = version:sub(1, 8) .. string.format('%08x', saves)
            redis.call('HSET', key, 'v', next, 's', bytes, unpack(set))
        end
        if #set == 0 then remove() write() else write() remove() end
        return lives()
    ";
    TOUCH = "
        return refused() or unnoted() or lives()
    ";
    /// .., new digest. The time to live is that of the old id.
    ROTATE = "
        local by = refused()
        if by then return by end
        if current ~= digest then return 'Gone' end
        redis.call('HSET', key, 'd', ARGV[5], 'p', digest, 'g', string.format('%.0f', now() + ttl))
        return 'Done'
    ";
    DESTROY = "
        local by = refused()
        if by then return by end
        redis.call('DEL', key)
        return 'Done'
    ";
    /// .., owner: the login that this session began with, in the epoch that is sure, has been found to count.
    CONFIRM = "
        if not current or owner ~= ARGV[5] or epoch() ~= sure then return 'Gone' end
        redis.call('HDEL', key, 'q')
        return 'Done'
    ";
    /// .., reason
    DESTROY_HANDLE = "
        local by = closed() or asks()
        if by then return by end
        ends(ARGV[5])
        return 'Done'
    ";
    /// .., reason, owner, epoch, the epoch before: ends a session of this owner from before this epoch. Whether it was one that
    /// anybody could find.
    BURY = "
        if not current or owner ~= ARGV[6] then return 0 end
        local of = tonumber(epoch())
        if of >= tonumber(ARGV[7]) then return 0 end
        ends(ARGV[5])
        if unsure and of < tonumber(ARGV[8]) then return 0 end
        return 1
    ";
    /// .., owner, the epoch to come: this session will be of it.
    SPARE = "
        local by = refused()
        if by then return by end
        if owner ~= ARGV[5] then return 'Gone' end
        redis.call('HDEL', key, 'q')
        redis.call('HSET', key, 'e', ARGV[6])
        return 'Done'
    ";
    WHY = "
        local told = redis.call('GET', why)
        if told and told:sub(2) == digest then return told:sub(1, 1) end
    ";
}

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
    EPOCH = "return current";
    /// handle, time in milliseconds: the set is to know this session for so long at least.
    ENTER = "
        redis.call('ZADD', sessions, 'GT', string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
        tidy()
        keep()
        return current
    ";
    /// Draws the epoch to come. No two calls get the same.
    RESERVE = "
        local drawn = math.max(tonumber(redis.call('GET', following) or 0) + 1, tonumber(current) + 1, now)
        tidy()
        redis.call('SET', following, string.format('%.0f', drawn))
        keep()
        return string.format('%.0f', drawn)
    ";
    /// epoch: from now on all earlier logins are over. The epoch before, and the sessions.
    RAISE = "
        local raised = math.max(tonumber(ARGV[1]), tonumber(current))
        tidy()
        redis.call('SET', epoch, string.format('%.0f', raised))
        keep()
        return { current, redis.call('ZRANGE', sessions, 0, -1) }
    ";
    LIST = "
        return redis.call('ZRANGEBYSCORE', sessions, now, '+inf')
    ";
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
    NOTE = "
        local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 16)
        if #over > 0 then redis.call('ZREM', index, unpack(over)) end
        local last = string.format('%.0f', now + tonumber(ARGV[2]))
        redis.call('ZADD', index, 'GT', last, ARGV[1])
        if redis.call('PTTL', index) < tonumber(ARGV[2]) then redis.call('PEXPIREAT', index, last) end
        return 'Done'
    ";
    INDEXED = "
        return redis.call('ZRANGEBYSCORE', index, now, '+inf')
    ";
    /// handle, ..
    FORGET = "
        return redis.call('ZREM', index, unpack(ARGV))
    ";
}
