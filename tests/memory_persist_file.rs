//! The file of a snapshot: it gives nobody away, and it is believed whole or not at all.
#![cfg(unix)]

mod scratch;
mod steps;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use lembro::{BadSnapshot, Clock, LembroOptions, LembroStore, Record, SessionId, Store};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use self::scratch::Folder;
use self::steps::{create_owned, new_id, renew, renewed, renewing, replace};

const HOUR: Duration = Duration::from_secs(3600);

fn options() -> LembroOptions {
    LembroOptions::new().interval(0).shards(1)
}

fn restored(path: &Path) -> lembro::Result<LembroStore> {
    LembroStore::with_options(options().restore(path))
}

fn record(user: &str) -> Record {
    [("user", user)].into_iter().collect()
}

fn store_of(ids: &[SessionId]) -> LembroStore {
    let store = LembroStore::with_options(options()).unwrap();
    for id in ids {
        store.set(id, record("ada"), HOUR).unwrap();
    }
    store
}

/// A file with one session in it.
fn small(folder: &Folder) -> (PathBuf, SessionId) {
    let (path, id) = (folder.join("sessions"), SessionId::random().unwrap());
    store_of(&[id]).snapshot(&path).unwrap();
    (path, id)
}

/// The store is not made, the message is this one after the path, and the file is as it was.
#[track_caller]
fn refused(path: &Path, problem: &str) {
    let before = fs::read(path).ok();
    let error = restored(path).unwrap_err();
    assert!(error.is_snapshot());
    assert_eq!(error.to_string(), format!("snapshot {}: {problem}", path.display()));
    assert_eq!(fs::read(path).ok(), before);
}

#[test]
fn the_file_holds_no_secret_in_any_form() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    let ids: Vec<_> = (0..50).map(|_| SessionId::random().unwrap()).collect();
    let time = Clock::manual();
    let store = LembroStore::with_options(options().clock(&time)).unwrap();
    ids.iter().for_each(|id| store.set(id, record("ada"), HOUR).unwrap());
    // Some with two secrets, of each kind.
    let lease = renewing(2 * HOUR, HOUR / 2);
    let [pending, previous] = [new_id(), new_id()];
    for id in [pending, previous] {
        assert!(create_owned(&store, &id, &record("ada"), "ada", 2 * HOUR).unwrap().is_done());
    }
    time.advance(HOUR / 2);
    let next = [renewed(&ids[0]), renew(&store, &pending, &lease), renew(&store, &previous, &lease)];
    assert!(replace(&store, &ids[0], &next[0], &lease).unwrap().is_done());
    assert!(store.visit(&next[2], &lease).unwrap().found().is_some());
    store.snapshot(&path).unwrap();
    let first = fs::read(&path).unwrap();
    // Known by their digests, some of them by their secrets again.
    let store = LembroStore::with_options(options().clock(&time).restore(&path)).unwrap();
    for id in ids[1..20].iter().chain([&next[0], &pending, &next[1], &previous, &next[2]]) {
        assert!(store.visit(id, &lease).unwrap().found().is_some());
    }
    store.snapshot(&path).unwrap();
    for file in [first, fs::read(&path).unwrap()] {
        let holds = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
        assert!(holds(b"\"ada\"") && holds(&ids[0].handle().to_u64().to_be_bytes()), "the search finds what is there");
        for id in ids.iter().chain(&next).chain([&pending, &previous]) {
            let text = id.expose();
            let secret = decode(&text)[8..].to_vec();
            // Half a secret would be bad enough.
            for needle in [&secret[..8], &secret[8..], &text.as_bytes()[11..], &text.as_bytes()[16..24]] {
                assert!(!holds(needle));
            }
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!holds(hex.as_bytes()));
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits: Vec<u32> = text.chars().map(|c| u32::try_from(ALPHABET.find(c).unwrap()).unwrap()).collect();
    let groups = digits.chunks(4).map(|group| group.iter().fold(0_u32, |sum, digit| sum << 6 | digit));
    groups.flat_map(|group| group.to_be_bytes()[1..].to_vec()).collect()
}

#[test]
fn only_its_owner_may_read_it_whatever_the_old_one_allowed() {
    let folder = Folder::new();
    let (path, _) = small(&folder);
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    store_of(&[]).snapshot(&path).unwrap();
    assert_eq!(mode(), 0o600);
    assert_eq!(folder.names(), ["sessions"]);
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let folder = Folder::new();
    let (path, _) = small(&folder);
    let whole = fs::read(&path).unwrap();
    for length in 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        refused(&path, "it ends in the middle");
    }
    fs::write(&path, []).unwrap();
    refused(&path, "it is empty");
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    refused(&path, "it goes on after its end");
    fs::write(&path, &whole).unwrap();
    assert_eq!(restored(&path).unwrap().len().unwrap(), 1);
}

#[test]
fn a_file_with_any_bit_wrong_is_refused() {
    let folder = Folder::new();
    let (path, _) = small(&folder);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        let error = restored(&path).expect_err("accepted");
        assert!(error.is_snapshot(), "bit {bit}: {error}");
    }
}

#[test]
fn chunks_that_are_left_out_repeated_or_exchanged_are_refused() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    let ids: Vec<_> = (0..1500).map(|_| SessionId::random().unwrap()).collect();
    let store = LembroStore::with_options(options().max_size("8M")).unwrap();
    for id in &ids {
        store.set(id, record(&"ada ".repeat(64)), HOUR).unwrap();
    }
    store.snapshot(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut chunks = Vec::new();
    let mut at = 52;
    loop {
        let length = usize::try_from(u64::from_be_bytes(whole[at..at + 8].try_into().unwrap())).unwrap();
        if length == 0 {
            break;
        }
        chunks.push(&whole[at..at + 8 + length + 32]);
        at += 8 + length + 32;
    }
    let (head, end) = (&whole[..52], &whole[at..]);
    assert!(chunks.len() >= 3, "{}", chunks.len());
    let swapped = [&[chunks[1], chunks[0]], &chunks[2..]].concat();
    let repeated = [&chunks[..1], &chunks[..]].concat();
    for wrong in [swapped, repeated, chunks[1..].to_vec(), chunks[..chunks.len() - 1].to_vec()] {
        fs::write(&path, [head, &wrong.concat(), end].concat()).unwrap();
        let error = restored(&path).unwrap_err().to_string();
        assert!(error.contains("it is damaged: ") && error.ends_with(" does not match its checksum"), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    let store = LembroStore::with_options(options().max_size("8M").restore(&path)).unwrap();
    assert_eq!(store.len().unwrap(), ids.len());
}

#[test]
fn what_is_no_snapshot_or_cannot_be_read_is_one_clear_error() {
    let folder = Folder::new();
    let (path, _) = small(&folder);
    let mut newer = fs::read(&path).unwrap();
    newer[11] = 3;
    fs::write(&path, newer).unwrap();
    refused(&path, "it is of format 3, and this version of lembro reads format 2 only");
    for foreign in [&b"{}"[..], b"lembro\n\n and more", b"\x7fELF", &[0; 1000]] {
        fs::write(&path, foreign).unwrap();
        refused(&path, "it is not a snapshot of lembro");
    }
    refused(&folder, "it is not a file");
    refused(&path.join("below"), "it cannot be read: Not a directory (os error 20)");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing is unreadable for root.
    if fs::read(&path).is_err() {
        refused(&path, "it cannot be read: Permission denied (os error 13)");
    }
    for empty in ["", "/", ".."] {
        assert!(restored(Path::new(empty)).unwrap_err().is_option());
    }
    assert_eq!(restored(&folder.join("not there")).unwrap().len().unwrap(), 0);
    assert_eq!(restored(&folder.join("not/there")).unwrap().len().unwrap(), 0);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = Folder::new();
    let pipe = folder.join("pipe");
    if Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        let error = restored(&pipe).unwrap_err().to_string();
        assert!(error.ends_with("it is not a file"), "{error}");
        assert!(store_of(&[]).snapshot(&pipe).unwrap_err().is_snapshot());
    }
}

#[test]
fn start_empty_keeps_the_file_and_tells_the_first_who_asks() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    fs::write(&path, "lembro?").unwrap();
    let options = options().restore(&path).on_bad_snapshot(BadSnapshot::StartEmpty);
    let store = LembroStore::with_options(options).unwrap();
    assert!(store.is_empty().unwrap() && store.stats().restored.is_none());
    let error = store.errors().try_recv().unwrap();
    assert!(error.is_snapshot());
    assert_eq!(error.to_string(), format!("snapshot {}: it is not a snapshot of lembro", path.display()));
    assert!(store.errors().try_recv().is_err(), "told once");
    assert_eq!(fs::read(&path).unwrap(), b"lembro?");
}

/// A file as it would be written, with these sessions' bytes and right checksums.
fn forged(chunks: &[&[u8]], sessions: u64) -> Vec<u8> {
    let (mut file, mut hash) = (Vec::new(), Sha256::new());
    let mut put = |parts: &[&[u8]]| {
        for part in parts {
            hash.update(part);
            file.extend_from_slice(part);
        }
        file.extend_from_slice(&hash.clone().finalize());
    };
    put(&[b"lembro\x1a\n", &2_u32.to_be_bytes(), &0_u64.to_be_bytes()]);
    for chunk in chunks {
        put(&[&(chunk.len() as u64).to_be_bytes(), chunk]);
    }
    put(&[&[0; 8], &sessions.to_be_bytes(), &[0; 8]]);
    file
}

/// The bytes of a session without an owner that never expires.
fn session(handle: u64) -> Vec<u8> {
    session_with(handle, 0, &[])
}

/// Where things stand in it.
const CLASS: usize = 8 + 2;
const ROW: usize = CLASS + 1 + 8;
const KIND: usize = ROW + 1;
const RECORD: usize = ROW + 3 + 8 + 8 + 16;

/// One with a second secret of this kind.
fn session_with(handle: u64, kind: u8, second: &[u8]) -> Vec<u8> {
    let record = record("ada");
    let row =
        [&[1, kind, 0][..], &[0xff; 8], &(9_u64 << 32).to_be_bytes(), &[7; 16], second, record.as_bytes()].concat();
    [&handle.to_be_bytes()[..], &[0; 3], &(row.len() as u64).to_be_bytes(), &row].concat()
}

/// Digest, no seed, until when.
fn second(byte: u8) -> Vec<u8> {
    [[byte; 16], [[0; 8], [byte; 8]].concat().try_into().unwrap()].concat()
}

#[test]
fn right_checksums_do_not_make_wrong_contents_right() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    let (one, two) = (session(1), session(2));
    fs::write(&path, forged(&[&one, &two], 2)).unwrap();
    let store = restored(&path).unwrap();
    assert_eq!(store.len().unwrap(), 2, "the forgery is a good one");
    store.validate().unwrap();
    fs::write(&path, forged(&[&one, &two], 3)).unwrap();
    refused(&path, "it holds 2 sessions and says that there are 3");
    let with = |at: usize, byte: u8| [&one[..at], &[byte], &one[at + 1..]].concat();
    // An unknown queue, unknown flags, half a session, another format of the row, a second secret
    // that is not there, more nonces than a row has, a body that is no record.
    let half = one[..one.len() - 1].to_vec();
    let unreadable = [
        with(CLASS, 3),
        with(CLASS, 0x10),
        half,
        with(ROW, 2),
        with(KIND, 1),
        with(KIND, 4),
        with(KIND + 1, 5),
        with(RECORD, 0xff),
        vec![0],
        session_with(3, 4, &[0; 32]),
    ];
    for wrong in unreadable {
        fs::write(&path, forged(&[&two, &wrong], 2)).unwrap();
        refused(&path, "chunk 2 holds something that is not a session");
    }
    // Twice the same: the first stays.
    fs::write(&path, forged(&[&one, &one], 2)).unwrap();
    let store = restored(&path).unwrap();
    assert_eq!((store.len().unwrap(), store.stats().restored.unwrap().refused), (1, 1));
    store.validate().unwrap();
    // No owner, but in the queue of those who have one.
    fs::write(&path, forged(&[&with(CLASS, 2)], 1)).unwrap();
    restored(&path).unwrap().validate().unwrap();
    // A second secret of each kind, and nonces, which this store has no use for.
    let nonces = [&one[..=KIND], &[1], &one[KIND + 2..RECORD], &[9; 8], &one[RECORD..]].concat();
    let with_length = |mut session: Vec<u8>| {
        let row = (session.len() - ROW) as u64;
        session[ROW - 8..ROW].copy_from_slice(&row.to_be_bytes());
        session
    };
    let sound = [
        with_length(nonces),
        session_with(2, 1, &second(1)),
        session_with(3, 2, &second(2)),
        session_with(4, 3, &second(3)),
    ];
    fs::write(&path, forged(&[&sound.concat()], 4)).unwrap();
    let store = restored(&path).unwrap();
    assert_eq!(store.len().unwrap(), 4);
    store.validate().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_contents_make_the_reader_panic(
        noise in prop::collection::vec(any::<u8>(), 0..200), at in 0..140_usize, byte: u8, kind in 0..4_u8,
    ) {
        let folder = Folder::new();
        let path = folder.join("sessions");
        let mut changed = session_with(1, kind, if kind == 0 { &[] } else { &[7; 32] });
        if let Some(place) = changed.get_mut(at) {
            *place = byte;
        }
        for file in [noise.clone(), forged(&[&noise], 1), forged(&[&changed], 1), forged(&[&[&changed[..], &noise].concat()], 2)] {
            fs::write(&path, file).unwrap();
            match restored(&path) {
                Ok(store) => store.validate().unwrap(),
                Err(error) => prop_assert!(error.is_snapshot()),
            }
        }
    }
}

#[test]
fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new();
    let (path, id) = small(&folder);
    let store = store_of(&[]);
    let error = store.snapshot(folder.join("missing/sessions")).unwrap_err();
    assert!(error.is_snapshot());
    assert!(error.to_string().ends_with("it cannot be written: No such file or directory (os error 2)"), "{error}");
    assert!(store.snapshot(&*folder).unwrap_err().to_string().ends_with("it is not a file"));
    // Not even as root: it would be a file where a device was.
    assert!(store.snapshot("/dev/null").unwrap_err().to_string().ends_with("it is not a file"));
    assert!(store.stats().last_snapshot.is_none());
    assert_eq!(folder.names(), ["sessions"]);
    assert!(restored(&path).unwrap().get(&id).unwrap().is_some());
}

const FULL_DISK: &str = "LEMBRO_TEST_FULL_DISK";

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    if let Some(path) = std::env::var_os(FULL_DISK) {
        return fill_the_disk(Path::new(&path));
    }
    let folder = Folder::new();
    let (path, id) = small(&folder);
    // This test again, in a process that may write no more than 8 blocks of 512 or 1024 bytes to a
    // file.
    let name = "a_full_disk_leaves_the_old_file_and_nothing_else";
    let script = format!("trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact {name} --nocapture");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(FULL_DISK, &path);
    let done = shell.output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && printed.contains("the disk was full"), "{printed}");
    assert_eq!(folder.names(), ["sessions"]);
    assert!(restored(&path).unwrap().get(&id).unwrap().is_some());
}

fn fill_the_disk(path: &Path) {
    let ids: Vec<_> = (0..1000).map(|_| SessionId::random().unwrap()).collect();
    let error = store_of(&ids).snapshot(path).unwrap_err();
    assert!(error.is_snapshot() && error.to_string().contains("it cannot be written: File too large"), "{error}");
    println!("the disk was full");
}

#[test]
fn what_killed_processes_left_is_removed_and_nothing_else_is() {
    let folder = Folder::new();
    let path = folder.join("sessions");
    let long_ago = SystemTime::now() - 2 * HOUR;
    let write = |name: &str, at: SystemTime| {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(at).unwrap();
    };
    let others = [".sessions.0123.tmp", ".sessions.0123456789abcdex.tmp", "other.0123456789abcdef.tmp"];
    for name in others.into_iter().chain([".sessions.0123456789abcdef.tmp"]) {
        write(name, long_ago);
    }
    write(".sessions.fedcba9876543210.tmp", SystemTime::now());
    store_of(&[]).snapshot(&path).unwrap();
    let mut expected = vec![".sessions.fedcba9876543210.tmp", "sessions"];
    expected.extend(others);
    expected.sort_unstable();
    assert_eq!(folder.names(), expected);
}

#[test]
fn a_link_stays_a_link_and_what_it_points_to_is_replaced() {
    let folder = Folder::new();
    fs::create_dir(folder.join("data")).unwrap();
    let (link, file) = (folder.join("sessions"), folder.join("data/sessions"));
    fs::write(&file, "old").unwrap();
    symlink(&file, &link).unwrap();
    store_of(&[SessionId::random().unwrap()]).snapshot(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(restored(&file).unwrap().len().unwrap(), 1);
}
