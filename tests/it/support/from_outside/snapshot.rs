//! The files of a store, a snapshot and a journal: refused, or a store that is sound and makes
//! files with the same sessions again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use allocation_counter::measure;
use lembro::{
    Changes, Clock, Commit, Handle, Identity, Lease, LembroOptions, LembroStore, Login, ManualClock, OnDamage, Owner,
    Owners, Record, Result, SessionId, Store,
};
use sha2::{Digest as _, Sha256};

/// The rest is a file.
const WHOLE: u8 = 0;
/// The rest is a file, but for its sums, which are put right: so that more of it is read than its
/// first damaged part.
const UNSEALED: u8 = 1;
// Everything else: the sessions alone, after when it was taken and the epoch.

const SUM: usize = 32;
/// Magic, format, when it was taken, base.
const HEAD: usize = 8 + 4 + 8 + 8;
/// Zero, number of sessions, epoch.
const END: usize = 3 * 8;

pub fn check(bytes: &[u8]) {
    if let Some(file) = file(bytes) {
        check_files(&file, base(&file), &[]);
    }
}

/// The generation of the journal that goes on from this snapshot.
pub fn base(file: &[u8]) -> u64 {
    file.get(HEAD - 8..HEAD).map_or(0, |base| u64::from_be_bytes(base.try_into().unwrap()))
}

/// Opens these files, and if that does, the ones that come of it. They are small.
pub fn check_files(file: &[u8], base: u64, journal: &[u8]) {
    let (folder, time) = (Folder::new(), Clock::manual());
    let path = folder.write(file, base, journal);
    let size = (file.len() + journal.len()) as u64;
    let mut result = None;
    let cost = measure(|| result = Some(restore(&path, &time)));
    assert!(cost.bytes_max < 64 * size + (4 << 20), "{} bytes for files of {size}", cost.bytes_max);
    let store = match result.unwrap() {
        Ok(store) => store,
        Err(error) => {
            assert!(error.is_persist() && error.to_string().starts_with("sessions in "), "{error}");
            assert_eq!(fs::read(&path).unwrap(), file, "what is refused stays as it was");
            let salvaged = salvage(&path, &time).unwrap();
            assert!(salvaged.errors().try_recv().unwrap().is_persist());
            salvaged
        }
    };
    check_store(&store);
    let before = listed(&store);
    drop(store);
    let again = restore(&path, &time).unwrap();
    assert_eq!(listed(&again), before);
    check_ends(&again, &time);
}

fn options(path: &Path, time: &ManualClock) -> LembroOptions {
    LembroOptions::new().interval(0).shards(2).clock(time).persist(path)
}

pub fn restore(path: &Path, time: &ManualClock) -> Result<LembroStore> {
    LembroStore::with_options(options(path, time))
}

fn salvage(path: &Path, time: &ManualClock) -> Result<LembroStore> {
    LembroStore::with_options(options(path, time).on_damage(OnDamage::Salvage))
}

fn check_store(store: &LembroStore) {
    store.validate().unwrap();
    // There was a snapshot, or what was to be one.
    let restored = store.stats().restored.unwrap();
    assert_eq!(restored.sessions, store.len().unwrap());
    assert_eq!(listed(store).len(), restored.sessions, "each handle once");
    for listed in store.all().unwrap() {
        let listed = listed.unwrap();
        assert!(listed.id.is_none() && !listed.stored.ttl.is_zero());
        let record = listed.stored.record;
        assert_eq!(Record::from_bytes(record.as_bytes()).unwrap(), record);
        if let Some(owner) = record.owner() {
            let owner = Owner::new(owner).unwrap();
            let all = store.list(&owner).unwrap();
            assert!(all.iter().any(|one| one.handle == listed.handle));
            assert_eq!(store.count(&owner).unwrap(), all.len());
        }
    }
}

/// Its sessions end like any others: by their owner's word, by their number, by their time.
fn check_ends(store: &LembroStore, time: &ManualClock) {
    let ada = Owner::new("ada").unwrap();
    let before = store.epoch(&ada).unwrap();
    let owned = store.count(&ada).unwrap();
    assert_eq!(store.destroy_all(&ada, None).unwrap(), owned);
    assert!(store.epoch(&ada).unwrap() > before, "a login that is under way is not let in");
    if let Some(handle) = listed(store).keys().next() {
        let handle = Handle::from_u64(*handle);
        assert!(store.destroy_handle(handle, None, lembro::EndReason::Revoked).unwrap().is_done());
    }
    store.validate().unwrap();
    time.advance(Duration::from_secs(u64::from(u32::MAX)));
    store.purge();
    store.validate().unwrap();
    check_survivors(store);
}

/// All that is left is to live for more than a century.
fn check_survivors(store: &LembroStore) {
    assert!(store.all().unwrap().all(|listed| !listed.unwrap().stored.ttl.is_zero()));
}

type Sessions = BTreeMap<u64, (Vec<u8>, u64, Duration)>;

fn listed(store: &LembroStore) -> Sessions {
    let session = |listed: Result<lembro::Listed>| {
        let lembro::Listed { handle, stored, .. } = listed.unwrap();
        (handle.to_u64(), (stored.record.as_bytes().to_vec(), stored.record.version().to_u64(), stored.ttl))
    };
    store.all().unwrap().map(session).collect()
}

/// The file that such bytes stand for.
pub fn file(bytes: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        WHOLE => Some(rest.to_vec()),
        UNSEALED => {
            let mut file = rest.to_vec();
            seal(&mut file);
            Some(file)
        }
        _ => {
            let (numbers, sessions) = rest.split_at_checked(16)?;
            let (taken_at, epoch) = numbers.split_at(8);
            let sum = [0; SUM];
            let mut file = [b"lembro\x1a\n\0\0\0\x03", taken_at, &[0; 8], &sum].concat();
            if !sessions.is_empty() {
                file.extend([&(sessions.len() as u64).to_be_bytes(), sessions, &sum].concat());
            }
            file.extend([&[0; 8], &count(sessions).to_be_bytes()[..], epoch, &sum].concat());
            seal(&mut file);
            Some(file)
        }
    }
}

/// Puts the sums right, as far as the lengths of a file's parts lead to them.
fn seal(file: &mut [u8]) {
    let (mut hash, mut rest) = (Sha256::new(), file);
    let mut part = HEAD;
    loop {
        let Some((covered, after)) = rest.split_at_mut_checked(part) else { return };
        let Some((sum, after)) = after.split_at_mut_checked(SUM) else { return };
        hash.update(&*covered);
        sum.copy_from_slice(&hash.clone().finalize());
        let Some(length) = after.first_chunk().map(|length| u64::from_be_bytes(*length)) else { return };
        part = if length == 0 { END } else { usize::try_from(length).unwrap_or(usize::MAX).saturating_add(8) };
        rest = after;
    }
}

/// How many sessions these bytes look like.
fn count(mut sessions: &[u8]) -> u64 {
    /// Handle, age, flags: after them the length of the row.
    const LENGTH: usize = 8 + 2 + 1;
    for number in 0.. {
        let Some(length) = sessions.get(LENGTH..).and_then(<[u8]>::first_chunk) else { return number };
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
        sessions = sessions.get((LENGTH + 8).saturating_add(length)..).unwrap_or_default();
    }
    0
}

pub fn seeds() -> Vec<Vec<u8>> {
    let files = [0, 1, 5].map(|sessions| {
        let folder = Folder::new();
        some_sessions(sessions, &folder).close().unwrap();
        fs::read(folder.file()).unwrap()
    });
    let alone = |file: &Vec<u8>| {
        let (taken_at, epoch) = (&file[12..HEAD - 8], &file[file.len() - SUM - 8..file.len() - SUM]);
        let chunk = HEAD + SUM + 8..file.len() - SUM - END;
        let sessions = file.get(chunk).map_or(&[][..], |chunk| chunk.split_last_chunk::<SUM>().unwrap().0);
        [&[2], taken_at, epoch, sessions].concat()
    };
    let kinds =
        files.iter().flat_map(|file| [[&[WHOLE], &file[..]].concat(), [&[UNSEALED], &file[..]].concat(), alone(file)]);
    kinds.collect()
}

/// Sessions of every kind, always the same ones but for their versions: with owners and without,
/// with a second secret of each kind, one that never ends.
pub fn some_sessions(count: usize, folder: &Folder) -> LembroStore {
    let time = Clock::manual();
    let store = LembroStore::with_options(options(&folder.file(), &time).shards(1)).unwrap();
    let lease = Lease { renew_after: Some(Duration::ZERO), ..Lease::new(Duration::from_secs(3600)) };
    let (ada, minute) = (Owner::new("ada").unwrap(), Duration::from_secs(60));
    for number in 0..count {
        let id = SessionId::derive(&format!("session {number}"));
        let mut changes = Changes::new();
        changes.insert("", "number", &number).unwrap();
        let create = Commit::create().unwrap().with(changes);
        let create = if number % 2 == 0 { create.log_in(Login::new(ada.clone())) } else { create };
        let version = store.commit(&id, &create, &lease).unwrap().receipt().unwrap().version;
        time.advance(minute);
        let commit = |identity| {
            let commit = Commit::merge(version).unwrap().with_identity(identity);
            store.commit(&id, &commit, &lease).unwrap().receipt().unwrap().announce
        };
        match number {
            1 => drop(commit(Identity::Replace(id.renewed(&SessionId::derive("renewed"))))),
            2 => drop(commit(Identity::Renew(7))),
            4 => assert!(store.visit(&commit(Identity::Renew(7)).unwrap(), &lease).unwrap().found().is_some()),
            3 => store.set(&id, store.get(&id).unwrap().unwrap().record, Duration::MAX).unwrap(),
            _ => drop(store.get(&id).unwrap()),
        }
    }
    assert_eq!(store.destroy_all(&Owner::new("grace").unwrap(), None).unwrap(), 0);
    store
}

/// A folder that is removed when it is dropped; in memory, where there is such a place, because
/// each input is a file.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = SessionId::random().unwrap().handle();
        let path = parent.join(format!("lembro-fuzz-{number}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("sessions")
    }

    /// A snapshot, and the journal of this generation.
    pub fn write(&self, bytes: &[u8], base: u64, journal: &[u8]) -> PathBuf {
        fs::write(self.file(), bytes).unwrap();
        fs::write(self.journal(base), journal).unwrap();
        self.file()
    }

    pub fn journal(&self, generation: u64) -> PathBuf {
        self.0.join(format!("sessions.journal.{generation}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
