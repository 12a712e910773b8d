//! Promise: the trait fits Redis. The scripts of a Redis store, on paper, against a real server and the whole contract.
//!
//! One hash per session, under its handle. Fields of one letter: `v`ersion (16 hex digits: incarnation, saves), `c`reated,
//! `d`igest of the secret, `p`revious digest and when its `g`race ends, `t`imeout, `o`wner and the `e`poch of the login; and
//! for each entry one field that starts with `k`, the length of the component as a byte, and the component. Redis' own expiry
//! ends a session. Beside it, for an hour after somebody ended it, a key that says `why`.
//!
//! A session nobody is logged in to is one key, and every method one script: it happens at one instant. An owner has three
//! keys in a slot of their own: `e`poch (absent: 0), `n`ext epoch, and `s`essions, a sorted set of handles by expiry. In a
//! cluster a script sees one slot only, so what concerns an owner takes several steps. Why their order is safe:
//!
//! - The epoch decides, the set is a hint. A session whose epoch is lower than its owner's is not there, whatever the hash
//!   says. So `destroy_of` is final with the one write that raises the owner's epoch; all it does after that is tidying, and
//!   if it breaks off there, whoever meets such a session finds nothing and tidies it away.
//! - Found: first the session is read, then the epoch of its owner. If the epoch is still right, the session was there when it
//!   was read.
//! - Written: a script that meets an owned session does nothing and says whose it is (`Owned`). Then the owner's slot is asked,
//!   which raises the session's score and gives the epoch; then the script runs again and insists on the same owner and
//!   epoch. So the set always knows a session at least as long as it lives, and may know some that it should not: those are
//!   looked at and left out. A write that is overtaken between the last two steps writes to a session that is not there.
//! - A login: first the owner's slot (score, epoch), then the session with that very epoch in it. A `destroy_of` in between is
//!   too early to find the session, and does not need to.
//! - `except`: the next epoch is reserved, the spared session is lifted to it, and only then it is everybody's. In the other
//!   order other requests of the spared session would take it for ended.
//! - Epochs are milliseconds, so that they go on growing when the key of an owner nobody thinks of any more has expired. It
//!   lives as long as any session in the set, and a day: longer than any login takes.

#![cfg(all(unix, feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod scripts;
mod wire;

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use lembro::{
    Changes, EndReason, Epoch, Error, Expected, Handle, Listed, MAX_KEYS, Outcome, Owners, Record, Result, SessionId,
    Store, Stored, testing,
};
use scripts::{
    BURY, CREATE, DESTROY, DESTROY_HANDLE, ENTER, EPOCH, GET, LIST, OWNER_PRELUDE, PEEK, PRELUDE, RAISE, RESERVE,
    ROTATE, SAVE, SET, SPARE, TOUCH, WHY,
};
use wire::{
    Reply, from_fields, hex, letter, number, outcome, owned, read, redis_ttl, text, to_fields, to_verbs, unexpected,
};

struct PaperStore {
    socket: PathBuf,
    idle: Mutex<Vec<BufReader<UnixStream>>>,
}

impl PaperStore {
    /// Runs a script on one session: on one with an owner, once it is sure that the login still counts.
    fn run(&self, script: &str, id: &SessionId, ttl: Duration, more: &[Vec<u8>]) -> Result<Reply> {
        self.run_on(script, id.handle(), id.digest().as_bytes(), ttl, more)
    }

    fn run_on(&self, script: &str, handle: Handle, digest: &[u8], ttl: Duration, more: &[Vec<u8>]) -> Result<Reply> {
        let mut sure = (Vec::new(), Vec::new());
        loop {
            let reply = self.run_once(script, handle, digest, ttl, (&sure.0, &sure.1), more)?;
            let Some((owner, epoch)) = owned(&reply) else { return Ok(reply) };
            let (name, begun) = (text(&owner)?, number(&epoch)?);
            // A script that does not set the time says so with zero, and then the set knows the session already.
            let now = self.enter(name, handle, ttl)?;
            if begun < now {
                self.bury(handle, name, now)?;
            } else {
                sure = (owner, epoch);
            }
        }
    }

    /// One call. Arguments as Redis wants them: any bytes at all.
    fn run_once(
        &self,
        script: &str,
        handle: Handle,
        digest: &[u8],
        ttl: Duration,
        (owner, epoch): (&[u8], &[u8]),
        more: &[Vec<u8>],
    ) -> Result<Reply> {
        let mut words = vec![b"EVAL".to_vec(), format!("{PRELUDE}{script}").into_bytes(), b"2".to_vec()];
        words.extend([format!("{{{handle}}}").into_bytes(), format!("{{{handle}}}why").into_bytes()]);
        words.extend([digest.to_vec(), redis_ttl(ttl), owner.to_vec(), epoch.to_vec()]);
        words.extend_from_slice(more);
        self.call(&words).map_err(Error::store)
    }

    /// Runs a script on an owner, whose keys are in one slot.
    fn run_on_owner(&self, script: &str, owner: &str, more: &[Vec<u8>]) -> Result<Reply> {
        // Any bytes but braces would do; this has none.
        let tag: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut words = vec![b"EVAL".to_vec(), format!("{OWNER_PRELUDE}{script}").into_bytes(), b"3".to_vec()];
        words.extend(["e", "n", "s"].map(|name| format!("{{o{tag}}}{name}").into_bytes()));
        words.extend_from_slice(more);
        self.call(&words).map_err(Error::store)
    }

    /// Has the owner's set know a session for so long at least. The owner's epoch at that instant.
    fn enter(&self, owner: &str, handle: Handle, ttl: Duration) -> Result<u64> {
        let words = [handle.to_string().into_bytes(), redis_ttl(ttl)];
        match self.run_on_owner(ENTER, owner, &words)? {
            Reply::Text(epoch) => number(&epoch),
            other => Err(unexpected(&other)),
        }
    }

    /// Tidies away a session whose login is over. The epoch that it had.
    fn bury(&self, handle: Handle, owner: &str, now: u64) -> Result<Option<u64>> {
        let sure = (owner.as_bytes(), now.to_string().into_bytes());
        let reason = letter(EndReason::Everywhere);
        match self.run_once(BURY, handle, b"", Duration::ZERO, (sure.0, &sure.1), &[reason])? {
            Reply::List(ended) => match ended.as_slice() {
                [_, Reply::Text(epoch)] => number(epoch).map(Some),
                other => Err(Error::store(format!("an answer that no script gives: {other:?}"))),
            },
            _ => Ok(None),
        }
    }

    /// The fields of the owner that a record or changes give the session, with the epoch they belong to. `None`: that login is
    /// over.
    fn login(
        &self,
        owner: Option<&str>,
        begun: Option<Epoch>,
        handle: Handle,
        ttl: Duration,
    ) -> Result<Option<Option<Vec<u8>>>> {
        let Some(owner) = owner else { return Ok(Some(None)) };
        let now = self.enter(owner, handle, ttl)?;
        let is_over = begun.is_some_and(|begun| begun.to_u64() < now);
        Ok((!is_over).then(|| Some(now.to_string().into_bytes())))
    }

    fn epoch_and_sessions(&self, script: &str, owner: &str, more: &[Vec<u8>]) -> Result<(u64, Vec<Handle>)> {
        let reply = self.run_on_owner(script, owner, more)?;
        let Reply::List(answer) = &reply else { return Err(unexpected(&reply)) };
        let [Reply::Text(epoch), Reply::List(handles)] = answer.as_slice() else { return Err(unexpected(&reply)) };
        let handles = handles.iter().map(|handle| match handle {
            Reply::Text(handle) => Ok(text(handle)?.parse()?),
            other => Err(unexpected(other)),
        });
        Ok((number(epoch)?, handles.collect::<Result<_>>()?))
    }

    /// A session that was read, unless the login that made it its owner's is over.
    fn stored(&self, handle: Handle, reply: &Reply, epoch_of: impl Fn(&str) -> Result<u64>) -> Result<Option<Stored>> {
        let Reply::List(answer) = reply else { return Ok(None) };
        let [Reply::Number(left), Reply::List(fields), Reply::Number(grace)] = answer.as_slice() else {
            return Err(unexpected(reply));
        };
        let record = from_fields(fields).ok_or_else(|| Error::store("not a session"))?;
        if let Some(owner) = record.owner() {
            let begun = fields.chunks_exact(2).find_map(|pair| match pair {
                [Reply::Text(field), Reply::Text(value)] if field == b"e" => number(value).ok(),
                _ => None,
            });
            let now = epoch_of(owner)?;
            if begun.is_none_or(|begun| begun < now) {
                self.bury(handle, owner, now)?;
                return Ok(None);
            }
        }
        Ok(Some(Stored::new(record, Duration::from_millis(left.unsigned_abs())).in_grace(*grace == 1)))
    }

    fn create_in(&self, id: &SessionId, record: Record, ttl: Duration, begun: Option<Epoch>) -> Result<Outcome> {
        let record = record.admit(self.clock().wall())?;
        let Some(epoch) = self.login(record.owner(), begun, id.handle(), ttl)? else { return Ok(Outcome::Gone) };
        outcome(&self.run(CREATE, id, ttl, &to_fields(&record, epoch))?)
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

impl Store for PaperStore {
    fn get(&self, id: &SessionId) -> Result<Option<Stored>> {
        let digest = id.digest();
        let reply = self.run_once(GET, id.handle(), digest.as_bytes(), Duration::ZERO, (b"", b""), &[])?;
        self.stored(id.handle(), &reply, |owner| Ok(self.epoch(owner)?.to_u64()))
    }

    fn create(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<Outcome> {
        self.create_in(id, record, ttl, None)
    }

    fn set(&self, id: &SessionId, record: Record, ttl: Duration) -> Result<()> {
        let record = record.admit_anew(self.clock().wall())?;
        let epoch = self.login(record.owner(), None, id.handle(), ttl)?.flatten();
        match outcome(&self.run(SET, id, ttl, &to_fields(&record, epoch))?)? {
            Outcome::Done => Ok(()),
            Outcome::Conflict | Outcome::Gone => Err(Error::conflict(id.handle())),
        }
    }

    fn save(&self, id: &SessionId, changes: &Changes, ttl: Duration, expected: Expected) -> Result<Outcome> {
        let (kind, version) = match expected {
            Expected::Exactly(version) => ("exactly", version),
            Expected::Incarnation(version) => ("incarnation", version),
        };
        let begun = changes.login().map(|(_, begun)| begun);
        let Some(epoch) = self.login(changes.owner().flatten(), begun, id.handle(), ttl)? else {
            return Ok(Outcome::Gone);
        };
        let mut words = vec![kind.as_bytes().to_vec(), hex(version), MAX_KEYS.to_string().into_bytes()];
        words.extend(to_verbs(changes, epoch));
        match self.run(SAVE, id, ttl, &words)? {
            Reply::Text(text) if text == b"Limit" => {
                Err(Error::limit(format!("session {}: too many keys", id.handle())))
            }
            other => outcome(&other),
        }
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> Result<Outcome> {
        outcome(&self.run(TOUCH, id, ttl, &[])?)
    }

    fn rotate(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Result<Outcome> {
        new.check_renews(id)?;
        outcome(&self.run(ROTATE, id, grace, &[new.digest().as_bytes().to_vec()])?)
    }

    fn destroy(&self, id: &SessionId) -> Result<Outcome> {
        outcome(&self.run(DESTROY, id, Duration::ZERO, &[])?)
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }
}

impl Owners for PaperStore {
    fn epoch(&self, owner: &str) -> Result<Epoch> {
        match self.run_on_owner(EPOCH, owner, &[])? {
            Reply::Text(epoch) => Ok(Epoch::from_u64(number(&epoch)?)),
            other => Err(unexpected(&other)),
        }
    }

    fn create_owned(&self, id: &SessionId, record: Record, ttl: Duration, begun: Epoch) -> Result<Outcome> {
        self.create_in(id, record, ttl, Some(begun))
    }

    fn sessions_of(&self, owner: &str) -> Result<Vec<Listed>> {
        let (epoch, handles) = self.epoch_and_sessions(LIST, owner, &[])?;
        let mut sessions = Vec::new();
        for handle in handles {
            let reply = self.run_once(PEEK, handle, b"", Duration::ZERO, (b"", b""), &[])?;
            let stored = self.stored(handle, &reply, |other| {
                // By now it may be somebody else's, whose epoch is another.
                if other == owner { Ok(epoch) } else { Ok(0) }
            })?;
            let theirs = stored.filter(|stored| stored.record.owner() == Some(owner));
            sessions.extend(theirs.map(|stored| Listed::new(handle, stored)));
        }
        Ok(sessions)
    }

    fn destroy_of(&self, owner: &str, except: Option<&SessionId>) -> Result<usize> {
        let Reply::List(drawn) = self.run_on_owner(RESERVE, owner, &[])? else {
            return Err(Error::store("no epoch was drawn"));
        };
        let [Reply::Text(current), Reply::Text(next)] = drawn.as_slice() else {
            return Err(Error::store("no epoch was drawn"));
        };
        if let Some(id) = except {
            let (sure, digest) = ((owner.as_bytes(), current.as_slice()), id.digest());
            self.run_once(SPARE, id.handle(), digest.as_bytes(), Duration::ZERO, sure, std::slice::from_ref(next))?;
        }
        let (before, handles) = self.epoch_and_sessions(RAISE, owner, std::slice::from_ref(next))?;
        let mut sessions = 0;
        for handle in handles {
            // What was over already is tidied away, and does not count.
            sessions += usize::from(self.bury(handle, owner, number(next)?)?.is_some_and(|begun| begun >= before));
        }
        Ok(sessions)
    }

    fn destroy_handle(&self, handle: Handle, reason: EndReason) -> Result<Outcome> {
        outcome(&self.run_on(DESTROY_HANDLE, handle, b"", Duration::ZERO, &[letter(reason)])?)
    }

    fn why_ended(&self, id: &SessionId) -> Result<Option<EndReason>> {
        Ok(match self.run(WHY, id, Duration::ZERO, &[])? {
            Reply::Text(reason) if reason == b"e" => Some(EndReason::Everywhere),
            Reply::Text(reason) if reason == b"l" => Some(EndReason::Limit),
            Reply::Text(_) => Some(EndReason::Named),
            _ => None,
        })
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
