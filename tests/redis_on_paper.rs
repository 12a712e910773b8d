//! Promise: the trait fits Redis. The scripts of a Redis store, on paper, against a real server and the whole contract.
//!
//! One hash per session, under its handle. Fields of one letter: `v`ersion (16 hex digits: incarnation, saves), `c`reated,
//! `d`igest of the secret, `p`revious digest and when its `g`race ends, `t`imeout, `o`wner; and for each entry one field that
//! starts with `k`, the length of the component as a byte, and the component. Every method but `get` is one script, so it
//! happens at one instant; Redis' own expiry ends a session.

#![cfg(all(unix, feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use lembro::{Changes, Error, Expected, MAX_KEYS, Outcome, Record, Result, SessionId, Store, Stored, Version, testing};
use serde_json::value::RawValue;

/// What every script starts with. `opens`: "current", "grace" or nil. Digests of 128 random bits may be compared like any
/// text: how far a guess got says nothing about the secret.
const PRELUDE: &str = "
    local key, digest, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local function opens()
        local current, previous, grace = unpack(redis.call('HMGET', key, 'd', 'p', 'g'))
        if current == digest then return 'current' end
        if previous == digest and now < tonumber(grace) then return 'grace' end
    end
    local function lives()
        if ttl > 0 then redis.call('PEXPIRE', key, ttl) else redis.call('DEL', key) end
        return 'Done'
    end
";

/// digest, ttl, field, value, field, value, ...
const CREATE: &str = "
    if redis.call('EXISTS', key) == 1 then return 'Conflict' end
    redis.call('HSET', key, 'd', digest, unpack(ARGV, 3))
    return lives()
";

const SET: &str = "
    if redis.call('EXISTS', key) == 1 and opens() ~= 'current' then return 'Conflict' end
    redis.call('DEL', key)
    redis.call('HSET', key, 'd', digest, unpack(ARGV, 3))
    return lives()
";

/// digest
const GET: &str = "
    local by = opens()
    if not by then return nil end
    return { redis.call('PTTL', key), redis.call('HGETALL', key), by == 'grace' and 1 or 0 }
";

/// digest, ttl, 'exactly' or 'incarnation', version, most entries, then 'clear' prefix, 'del' field, 'set' field value. All
/// is worked out before anything is written: a script that stops halfway is not rolled back.
const SAVE: &str = "
    if not opens() then return 'Gone' end
    local version, expected = redis.call('HGET', key, 'v'), ARGV[4]
    if version:sub(1, 8) ~= expected:sub(1, 8) then return 'Gone' end
    if ARGV[3] == 'exactly' and version ~= expected then return 'Conflict' end
    local there, del, set, i = {}, {}, {}, 6
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
    if entries > tonumber(ARGV[5]) then return 'Limit' end
    if #del > 0 then redis.call('HDEL', key, unpack(del)) end
    local saves = (tonumber(version:sub(9), 16) + 1) % 4294967296
    redis.call('HSET', key, 'v', version:sub(1, 8) .. string.format('%08x', saves), unpack(set))
    return lives()
";

/// digest, ttl
const TOUCH: &str = "
    if not opens() then return 'Gone' end
    return lives()
";

/// digest, grace, new digest
const ROTATE: &str = "
    if opens() ~= 'current' then return 'Gone' end
    redis.call('HSET', key, 'd', ARGV[3], 'p', digest, 'g', string.format('%.0f', now + ttl))
    return 'Done'
";

/// digest
const DESTROY: &str = "
    if not opens() then return 'Gone' end
    redis.call('DEL', key)
    return 'Done'
";

struct PaperStore {
    socket: PathBuf,
    idle: Mutex<Vec<BufReader<UnixStream>>>,
}

impl PaperStore {
    /// Runs a script on one session. Arguments as Redis wants them: any bytes at all.
    fn run(&self, script: &str, id: &SessionId, ttl: Duration, more: Vec<Vec<u8>>) -> Result<Reply> {
        // Sooner than Redis' own limit, later than anybody lives: 2^52 ms, still exact in Lua.
        let ttl = ttl.as_millis().min(1 << 52).to_string();
        let (digest, script) = (id.digest(), format!("{PRELUDE}{script}"));
        let mut words =
            vec![b"EVAL".to_vec(), script.into_bytes(), b"1".to_vec(), id.handle().to_string().into_bytes()];
        words.extend([digest.as_bytes().to_vec(), ttl.into_bytes()]);
        words.extend(more);
        self.call(&words).map_err(Error::store)
    }

    fn call(&self, words: &[Vec<u8>]) -> io::Result<Reply> {
        let idle = self.idle.lock().unwrap().pop();
        let mut connection = idle.map_or_else(|| UnixStream::connect(&self.socket).map(BufReader::new), Ok)?;
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        connection.get_mut().write_all(&request)?;
        let reply = read(&mut connection)?;
        self.idle.lock().unwrap().push(connection);
        Ok(reply)
    }
}

/// What Redis answers, as far as these scripts need it.
#[derive(Debug)]
enum Reply {
    Nothing,
    Number(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
}

fn read(connection: &mut BufReader<UnixStream>) -> io::Result<Reply> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    Ok(match kind {
        "+" => Reply::Text(rest.as_bytes().to_vec()),
        ":" => Reply::Number(number()?),
        "$" | "*" if number()? < 0 => Reply::Nothing,
        "$" => {
            let mut text = vec![0; usize::try_from(number()?).map_err(io::Error::other)? + 2];
            connection.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            Reply::Text(text)
        }
        "*" => Reply::List((0..number()?).map(|_| read(connection)).collect::<io::Result<_>>()?),
        _ => return Err(io::Error::other(rest.to_owned())),
    })
}

fn outcome(reply: &Reply) -> Result<Outcome> {
    match reply {
        Reply::Text(text) if text == b"Done" => Ok(Outcome::Done),
        Reply::Text(text) if text == b"Gone" => Ok(Outcome::Gone),
        Reply::Text(text) if text == b"Conflict" => Ok(Outcome::Conflict),
        other => Err(Error::store(format!("an answer that no script gives: {other:?}"))),
    }
}

fn prefix(component: &str) -> Vec<u8> {
    [b"k", [u8::try_from(component.len()).unwrap()].as_slice(), component.as_bytes()].concat()
}

fn millis(time: Duration) -> Vec<u8> {
    time.as_millis().to_string().into_bytes()
}

fn hex(version: Version) -> Vec<u8> {
    format!("{:016x}", version.to_u64()).into_bytes()
}

/// A record as fields and values.
fn to_fields(record: &Record) -> Vec<Vec<u8>> {
    let created = record.created_at().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut fields = vec![b"v".to_vec(), hex(record.version()), b"c".to_vec(), millis(created)];
    fields.extend(record.timeout().into_iter().flat_map(|timeout| [b"t".to_vec(), millis(timeout)]));
    fields.extend(record.owner().into_iter().flat_map(|owner| [b"o".to_vec(), owner.as_bytes().to_vec()]));
    for (component, key, json) in record.entries() {
        fields.extend([[prefix(component), key.as_bytes().to_vec()].concat(), json.get().as_bytes().to_vec()]);
    }
    fields
}

/// The record that fields and values are. `None`: this store did not write them.
fn from_fields(fields: &[Reply]) -> Option<Record> {
    let (mut parts, mut version, mut created) = (Changes::new(), None, None);
    for pair in fields.chunks_exact(2) {
        let [Reply::Text(field), Reply::Text(value)] = pair else { return None };
        let text = std::str::from_utf8(value);
        let millis = || text.ok()?.parse().ok().map(Duration::from_millis);
        match field.as_slice() {
            b"v" => version = u64::from_str_radix(text.ok()?, 16).ok().map(Version::from_u64),
            b"c" => created = Some(UNIX_EPOCH + millis()?),
            b"t" => parts.set_timeout(Some(millis()?)),
            b"o" => parts.set_owner(Some(text.ok()?)).ok()?,
            [b'k', length, name @ ..] => {
                let (component, key) = std::str::from_utf8(name).ok()?.split_at_checked(usize::from(*length))?;
                parts.insert(component, key, serde_json::from_slice::<&RawValue>(value).ok()?).ok()?;
            }
            _ => {}
        }
    }
    parts.apply(&Record::new()).ok()?.with_version(version?).admit(created?).ok()
}

/// Changes as the arguments of the save script.
fn to_verbs(changes: &Changes) -> Vec<Vec<u8>> {
    let mut verbs = Vec::new();
    let mut put = |field: Vec<u8>, value: Option<Vec<u8>>| match value {
        Some(value) => verbs.extend([b"set".to_vec(), field, value]),
        None => verbs.extend([b"del".to_vec(), field]),
    };
    changes.timeout().into_iter().for_each(|timeout| put(b"t".to_vec(), timeout.map(millis)));
    changes.owner().into_iter().for_each(|owner| put(b"o".to_vec(), owner.map(|owner| owner.as_bytes().to_vec())));
    for change in changes.keys() {
        let field = [prefix(change.component), change.key.as_bytes().to_vec()].concat();
        put(field, change.value.map(<[u8]>::to_vec));
    }
    let everything = changes.clears_everything().then(|| b"k".to_vec());
    let cleared = everything.into_iter().chain(changes.cleared_components().map(prefix));
    let cleared: Vec<_> = cleared.flat_map(|prefix| [b"clear".to_vec(), prefix]).collect();
    [cleared, verbs].concat()
}

impl Store for PaperStore {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        match self.run(GET, id, Duration::ZERO, Vec::new())? {
            Reply::Nothing => Ok(None),
            Reply::List(answer) => match answer.as_slice() {
                [Reply::Number(left), Reply::List(fields), Reply::Number(grace)] => {
                    let record = from_fields(fields).ok_or_else(|| Error::store("not a session"))?;
                    Ok(Some(Stored::new(record, Duration::from_millis(left.unsigned_abs())).in_grace(*grace == 1)))
                }
                other => Err(Error::store(format!("not a session: {other:?}"))),
            },
            other => Err(Error::store(format!("not a session: {other:?}"))),
        }
    }

    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        outcome(&self.run(CREATE, id, ttl, to_fields(&record.admit(self.clock().wall())?))?)
    }

    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        match outcome(&self.run(SET, id, ttl, to_fields(&record.admit_anew(self.clock().wall())?))?)? {
            Outcome::Done => Ok(()),
            Outcome::Conflict | Outcome::Gone => Err(Error::conflict(id.handle())),
        }
    }

    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        let (kind, version) = match expected {
            Expected::Exactly(version) => ("exactly", version),
            Expected::Incarnation(version) => ("incarnation", version),
        };
        let mut words = vec![kind.as_bytes().to_vec(), hex(version), MAX_KEYS.to_string().into_bytes()];
        words.extend(to_verbs(changes));
        match self.run(SAVE, id, ttl, words)? {
            Reply::Text(text) if text == b"Limit" => {
                Err(Error::limit(format!("session {}: too many keys", id.handle())))
            }
            other => outcome(&other),
        }
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        outcome(&self.run(TOUCH, id, ttl, Vec::new())?)
    }

    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        new.check_renews(id)?;
        outcome(&self.run(ROTATE, id, grace, vec![new.digest().as_bytes().to_vec()])?)
    }

    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        outcome(&self.run(DESTROY, id, Duration::ZERO, Vec::new())?)
    }
}

/// A server of this test's own, which ends with it.
struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("lembro-redis-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(&folder);
        let process = command.arg("--unixsocket").arg(folder.join("socket")).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { process, folder };
        for _ in 0..200 {
            if UnixStream::connect(server.folder.join("socket")).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
#[ignore = "needs redis-server; .ci/full runs it"]
fn the_scripts_of_a_redis_store_keep_the_contract() {
    let server = Server::start();
    let report = testing::check(Duration::from_millis(100), || {
        let store = PaperStore { socket: server.folder.join("socket"), idle: Mutex::default() };
        store.call(&[b"FLUSHALL".to_vec()]).unwrap();
        store
    });
    println!("{report}");
    assert!(report.is_kept(), "{report}");
    // Rules that stop time, and the methods that see all sessions.
    assert_eq!(report.skipped().count(), 10, "{report}");
}
