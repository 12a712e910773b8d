//! The scripts: one for each thing that is to happen at one instant, to a session or to an owner.

/// What every script on a session starts with. `opens`: "current", "grace" or nil. Digests of 128 random bits may be compared
/// like any text: how far a guess got says nothing about the secret. `unsure`: the session has an owner, and the caller has
/// not yet looked whether the epoch of its login is over.
pub(crate) const PRELUDE: &str = "
    local key, why, digest, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local owner, epoch = unpack(redis.call('HMGET', key, 'o', 'e'))
    local unsure = owner and not (owner == ARGV[3] and epoch == ARGV[4]) and { 'Owned', owner, epoch }
    local function opens()
        local current, previous, grace = unpack(redis.call('HMGET', key, 'd', 'p', 'g'))
        if current == digest then return 'current' end
        if previous == digest and now < tonumber(grace) then return 'grace' end
    end
    local function lives()
        if ttl > 0 then redis.call('PEXPIRE', key, ttl) else redis.call('DEL', key) end
        return 'Done'
    end
    local function ends(reason)
        redis.call('SET', why, reason .. redis.call('HGET', key, 'd'), 'PX', 3600000)
        redis.call('DEL', key)
        return 'Done'
    end
";

/// digest, ttl, owner, epoch, field, value, field, value, ...
pub(crate) const CREATE: &str = "
    if unsure then return unsure end
    if redis.call('EXISTS', key) == 1 then return 'Conflict' end
    redis.call('DEL', why)
    redis.call('HSET', key, 'd', digest, unpack(ARGV, 5))
    return lives()
";

pub(crate) const SET: &str = "
    if unsure then return unsure end
    if redis.call('EXISTS', key) == 1 and opens() ~= 'current' then return 'Conflict' end
    redis.call('DEL', key, why)
    redis.call('HSET', key, 'd', digest, unpack(ARGV, 5))
    return lives()
";

/// digest. The caller looks at the epoch.
pub(crate) const GET: &str = "
    local by = opens()
    if not by then return nil end
    return { redis.call('PTTL', key), redis.call('HGETALL', key), by == 'grace' and 1 or 0 }
";

/// The same for whoever has no id.
pub(crate) const PEEK: &str = "
    if redis.call('EXISTS', key) == 0 then return nil end
    return { redis.call('PTTL', key), redis.call('HGETALL', key), 0 }
";

/// digest, ttl, owner, epoch, 'exactly' or 'incarnation', version, most entries, then 'clear' prefix, 'del' field, 'set' field
/// value. All is worked out before anything is written: a script that stops halfway is not rolled back.
pub(crate) const SAVE: &str = "
    if not opens() then return 'Gone' end
    if unsure then return unsure end
    local version, expected = redis.call('HGET', key, 'v'), ARGV[6]
    if version:sub(1, 8) ~= expected:sub(1, 8) then return 'Gone' end
    if ARGV[5] == 'exactly' and version ~= expected then return 'Conflict' end
    local there, del, set, i = {}, {}, {}, 8
    for _, field in ipairs(redis.call('HKEYS', key)) do there[field] = true end
    while ARGV[i] do
        local verb, field = ARGV[i], ARGV[i + 1]
        if verb == 'set' then
            there[field] = true
            set[#set + 1], set[#set + 2] = field, ARGV[i + 2]
            i = i + 3
        else
            for name in pairs(there) do
                if name == field or verb == 'clear' and name:sub(1, #field) == field then
                    there[name] = nil
                    del[#del + 1] = name
                end
            end
            i = i + 2
        end
    end
    local entries = 0
    for name in pairs(there) do if name:sub(1, 1) == 'k' then entries = entries + 1 end end
    if entries > tonumber(ARGV[7]) then return 'Limit' end
    if #del > 0 then redis.call('HDEL', key, unpack(del)) end
    local saves = (tonumber(version:sub(9), 16) + 1) % 4294967296
    redis.call('HSET', key, 'v', version:sub(1, 8) .. string.format('%08x', saves), unpack(set))
    return lives()
";

/// digest, ttl, owner, epoch
pub(crate) const TOUCH: &str = "
    if not opens() then return 'Gone' end
    if unsure then return unsure end
    return lives()
";

/// digest, grace, owner, epoch, new digest
pub(crate) const ROTATE: &str = "
    if opens() ~= 'current' then return 'Gone' end
    if unsure then return unsure end
    redis.call('HSET', key, 'd', ARGV[5], 'p', digest, 'g', string.format('%.0f', now + ttl))
    return 'Done'
";

/// digest, -, owner, epoch
pub(crate) const DESTROY: &str = "
    if not opens() then return 'Gone' end
    if unsure then return unsure end
    redis.call('DEL', key)
    return 'Done'
";

/// -, -, owner, epoch, reason
pub(crate) const DESTROY_HANDLE: &str = "
    if redis.call('EXISTS', key) == 0 then return 'Gone' end
    if unsure then return unsure end
    return ends(ARGV[5])
";

/// -, -, owner, epoch, reason: tidies away a session of this owner from before this epoch.
pub(crate) const BURY: &str = "
    if owner ~= ARGV[3] or tonumber(epoch) >= tonumber(ARGV[4]) then return 'Gone' end
    ends(ARGV[5])
    return { 'Ended', epoch }
";

/// digest, -, owner, epoch, the epoch to come
pub(crate) const SPARE: &str = "
    if not opens() or owner ~= ARGV[3] or tonumber(epoch) < tonumber(ARGV[4]) then return 'Gone' end
    redis.call('HSET', key, 'e', ARGV[5])
    return 'Done'
";

/// digest
pub(crate) const WHY: &str = "
    local noted = redis.call('GET', why)
    if noted and noted:sub(2) == digest then return noted:sub(1, 1) end
";

/// What every script on an owner starts with.
pub(crate) const OWNER_PRELUDE: &str = "
    local epoch, following, sessions = KEYS[1], KEYS[2], KEYS[3]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local current = redis.call('GET', epoch) or '0'
    local function keep()
        local last = redis.call('ZRANGE', sessions, -1, -1, 'WITHSCORES')[2] or 0
        redis.call('PEXPIREAT', sessions, string.format('%.0f', last))
        last = string.format('%.0f', math.max(tonumber(last), now + 86400000))
        redis.call('PEXPIREAT', epoch, last)
        redis.call('PEXPIREAT', following, last)
    end
";

pub(crate) const EPOCH: &str = "return current";

/// handle, ttl: the set is to know this session for so long at least.
pub(crate) const ENTER: &str = "
    redis.call('ZADD', sessions, 'GT', string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
    keep()
    return current
";

/// Draws the epoch to come. No two calls get the same.
pub(crate) const RESERVE: &str = "
    local drawn = math.max(tonumber(redis.call('GET', following) or 0) + 1, tonumber(current) + 1, now)
    redis.call('SET', following, string.format('%.0f', drawn))
    keep()
    return { current, string.format('%.0f', drawn) }
";

/// epoch: the instant at which all earlier logins are over.
pub(crate) const RAISE: &str = "
    local raised = math.max(tonumber(ARGV[1]), tonumber(current))
    redis.call('SET', epoch, string.format('%.0f', raised))
    keep()
    return { current, redis.call('ZRANGE', sessions, 0, -1) }
";

pub(crate) const LIST: &str = "
    redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now)
    return { current, redis.call('ZRANGE', sessions, 0, -1) }
";
