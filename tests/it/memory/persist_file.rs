//! The files of a store: they hold no secret, and damaged files are refused or salvaged.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, OnDamage, Record, SessionId, Store};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::support::scratch::Folder;
use crate::support::steps::{create_owned, is_there, new_id, owner, owners, renew, renewed, renewing, replace};

const HOUR: Duration = Duration::from_secs(3600);

fn options() -> LembroOptions {
    LembroOptions::new().interval(0).shards(1)
}

fn open(path: &Path) -> lembro::Result<LembroStore> {
    LembroStore::with_options(options().persist(path))
}

fn salvage(path: &Path) -> lembro::Result<LembroStore> {
    LembroStore::with_options(options().persist(path).on_damage(OnDamage::Salvage))
}

fn record(user: &str) -> Record {
    [("user", user)].into_iter().collect()
}

/// All files of a folder except the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn of(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file() && path.extension().is_none_or(|last| last != "lock"));
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        Self(files.map(|path| (name(&path), fs::read(path).unwrap())).collect())
    }

    /// Replaces the files of a folder by these.
    fn put(&self, folder: &Folder) {
        for name in folder.names() {
            let path = folder.join(name);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        self.0.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }

    fn with(&self, name: &str, bytes: &[u8]) -> Self {
        let mut files = self.clone();
        files.0.insert(name.to_owned(), bytes.to_owned());
        files
    }

    fn without(&self, name: &str) -> Self {
        let mut files = self.clone();
        files.0.remove(name).unwrap();
        files
    }
}

const SNAPSHOT: &str = "sessions";
const JOURNAL: &str = "sessions.journal.1";

/// The files of a store whose sessions are in its snapshot.
fn small(folder: &Folder) -> (PathBuf, SessionId) {
    let (path, id) = (folder.join(SNAPSHOT), new_id());
    let store = open(&path).unwrap();
    store.set(&id, record("ada"), HOUR).unwrap();
    store.close().unwrap();
    (path, id)
}

/// Asserts that no store is made, with this problem as the error, and that the files are unchanged.
#[track_caller]
fn refused(path: &Path, problem: &str) {
    let folder = path.parent().unwrap();
    let before = Files::of(folder);
    let error = open(path).unwrap_err();
    assert!(error.is_persist());
    assert_eq!(error.to_string(), format!("sessions in {}: {problem}", path.display()));
    assert_eq!(Files::of(folder), before);
}

#[test]
fn files_hold_no_secret_in_any_form() {
    let folder = Folder::new();
    let path = folder.join(SNAPSHOT);
    let ids: Vec<_> = (0..50).map(|_| SessionId::random().unwrap()).collect();
    let time = Clock::manual();
    let options = || options().clock(&time).persist(&path);
    let store = LembroStore::with_options(options()).unwrap();
    ids.iter().for_each(|id| store.set(id, record("ada"), HOUR).unwrap());
    // Second secrets of each kind.
    let lease = renewing(2 * HOUR, HOUR / 2);
    let [pending, previous] = [new_id(), new_id()];
    for id in [pending, previous] {
        assert!(create_owned(&store, &id, &record("ada"), "ada", 2 * HOUR).unwrap().is_done());
    }
    time.advance(HOUR / 2);
    let next = [renewed(&ids[0]), renew(&store, &pending, &lease), renew(&store, &previous, &lease)];
    assert!(replace(&store, &ids[0], &next[0], &lease).unwrap().is_done());
    assert!(store.visit(&next[2], &lease).unwrap().found().is_some());
    let mut files: Vec<_> = vec![fs::read(folder.join(JOURNAL)).unwrap()];
    store.close().unwrap();
    files.push(fs::read(&path).unwrap());
    drop(store);
    // Some sessions have their secrets cached after the restart.
    let store = LembroStore::with_options(options()).unwrap();
    for id in ids[1..20].iter().chain([&next[0], &pending, &next[1], &previous, &next[2]]) {
        assert!(store.visit(id, &lease).unwrap().found().is_some());
    }
    files.push(fs::read(folder.join("sessions.journal.3")).unwrap());
    store.close().unwrap();
    files.push(fs::read(&path).unwrap());
    for (number, file) in files.iter().enumerate() {
        let holds = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
        let handle = holds(&ids[0].handle().to_u64().to_be_bytes());
        assert!(number == 2 || handle && holds(b"\"ada\""), "the search finds what is there");
        for id in ids.iter().chain(&next).chain([&pending, &previous]) {
            let text = id.expose();
            let secret = decode(&text)[8..].to_vec();
            // No half of a secret may be in a file either.
            for needle in [&secret[..8], &secret[8..], &text.as_bytes()[11..], &text.as_bytes()[16..24]] {
                assert!(!holds(needle));
            }
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!holds(hex.as_bytes()));
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
fn only_the_owner_may_read_the_files() {
    let folder = Folder::new();
    let (path, _) = small(&folder);
    let modes = || {
        let mode = |name: &String| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        folder.names().iter().map(mode).collect::<Vec<_>>()
    };
    assert_eq!(folder.names(), ["sessions", "sessions.journal.2", "sessions.lock"]);
    assert_eq!(modes(), [0o600; 3]);
    fs::write(folder.join("sessions.tmp"), "of a process that was killed").unwrap();
    fs::write(folder.join("sessions.journal.1"), "that was not removed").unwrap();
    for name in folder.names() {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let store = open(&path).unwrap();
    store.set(&new_id(), record("bob"), HOUR).unwrap();
    assert_eq!(folder.names(), ["sessions", "sessions.journal.3", "sessions.lock"]);
    assert_eq!(modes()[..2], [0o600; 2]);
}

#[test]
fn truncated_snapshot_is_refused() {
    let folder = Folder::in_memory();
    let (path, _) = small(&folder);
    let whole = fs::read(&path).unwrap();
    for length in 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        refused(&path, "the snapshot: it ends in the middle");
    }
    fs::write(&path, []).unwrap();
    refused(&path, "the snapshot: it is empty");
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    refused(&path, "the snapshot: it has bytes after its end");
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(&path).unwrap().len().unwrap(), 1);
}

#[test]
fn snapshot_with_any_bit_wrong_is_refused() {
    let folder = Folder::in_memory();
    let (path, _) = small(&folder);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        let error = open(&path).expect_err("accepted").to_string();
        assert!(error.starts_with(&format!("sessions in {}: the snapshot: ", path.display())), "bit {bit}: {error}");
    }
}

#[test]
fn snapshot_with_moved_chunks_is_refused() {
    let folder = Folder::new();
    let path = folder.join(SNAPSHOT);
    let ids: Vec<_> = (0..1500).map(|_| SessionId::random().unwrap()).collect();
    let options = || options().max_size("8M").persist(&path);
    let store = LembroStore::with_options(options()).unwrap();
    for id in &ids {
        store.set(id, record(&"ada ".repeat(64)), HOUR).unwrap();
    }
    store.close().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut chunks = Vec::new();
    let mut at = HEAD;
    loop {
        let length = usize::try_from(u64::from_be_bytes(whole[at..at + 8].try_into().unwrap())).unwrap();
        if length == 0 {
            break;
        }
        chunks.push(&whole[at..at + 8 + length + 32]);
        at += 8 + length + 32;
    }
    let (head, end) = (&whole[..HEAD], &whole[at..]);
    assert!(chunks.len() >= 3, "{}", chunks.len());
    let swapped = [&[chunks[1], chunks[0]], &chunks[2..]].concat();
    let repeated = [&chunks[..1], &chunks[..]].concat();
    for wrong in [swapped, repeated, chunks[1..].to_vec(), chunks[..chunks.len() - 1].to_vec()] {
        fs::write(&path, [head, &wrong.concat(), end].concat()).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("it is damaged: ") && error.ends_with(" does not match its checksum"), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(LembroStore::with_options(options()).unwrap().len().unwrap(), ids.len());
}

#[test]
fn foreign_or_unreadable_snapshot_is_refused() {
    let folder = Folder::new();
    let (path, _) = small(&folder);
    let mut newer = fs::read(&path).unwrap();
    newer[11] = 4;
    fs::write(&path, newer).unwrap();
    refused(&path, "the snapshot: it is of format 4, and this version of lembro reads format 3 only");
    for foreign in [&b"{}"[..], b"lembro\n\n and more", b"\x7fELF", &[0; 1000]] {
        fs::write(&path, foreign).unwrap();
        refused(&path, "the snapshot: it is not a snapshot of lembro");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read every file.
    if fs::read(&path).is_err() {
        let error = open(&path).unwrap_err().to_string();
        assert!(error.ends_with("it cannot be read: Permission denied (os error 13)"), "{error}");
    }
    for empty in ["", "/", ".."] {
        assert!(open(Path::new(empty)).unwrap_err().is_option());
    }
}

#[test]
fn unusable_path_is_refused_at_the_start() {
    let folder = Folder::new();
    let path = folder.join(SNAPSHOT);
    let says = |path: &Path, end: &str| {
        for options in [options().persist(path), options().persist(path).on_damage(OnDamage::Salvage)] {
            let error = LembroStore::with_options(options).unwrap_err();
            assert!(error.is_persist());
            assert_eq!(error.to_string(), format!("sessions in {}: {end}", path.display()));
        }
    };
    says(&folder, "it is not a file");
    // A device must not be replaced by a file, not even by root.
    says(Path::new("/dev/null"), "it is not a file");
    let missing = folder.join("missing");
    let no_folder = format!("the folder {} cannot be used: No such file or directory (os error 2)", missing.display());
    says(&missing.join(SNAPSHOT), &no_folder);
    symlink(&missing, &path).unwrap();
    says(&path, "it is a link that leads nowhere");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    says(&path.join("below"), "it cannot be found: Not a directory (os error 20)");
    fs::remove_file(&path).unwrap();
    let pipe = folder.join("pipe");
    if Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        says(&pipe, "it is not a file");
        fs::remove_file(&pipe).unwrap();
    }
    assert_eq!(folder.names(), [""; 0], "nothing is left behind");
    assert!(open(&path).unwrap().is_empty().unwrap());
}

#[test]
fn bare_file_name_is_in_the_present_folder() {
    let name = format!("lembro-test-relative-{}", std::process::id());
    let store = open(Path::new(&name)).unwrap();
    store.set(&new_id(), record("ada"), HOUR).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(open(Path::new(&name)).unwrap().len().unwrap(), 1);
    for suffix in ["", ".lock", ".journal.3"] {
        fs::remove_file(format!("{name}{suffix}")).unwrap();
    }
}

#[test]
fn two_stores_do_not_share_files() {
    let folder = Folder::new();
    let (path, link) = (folder.join(SNAPSHOT), folder.join("link"));
    let store = open(&path).unwrap();
    symlink(&path, &link).unwrap();
    let expected = "another store uses it, in this process or in another one: give each store a path of its own";
    for other in [path.clone(), link, folder.join("../").join(folder.file_name().unwrap()).join(SNAPSHOT)] {
        refused(&other, expected);
    }
    // The first store and its files are unharmed.
    let id = new_id();
    store.set(&id, record("ada"), HOUR).unwrap();
    drop(store);
    let store = open(&path).unwrap();
    assert!(is_there(&store, &id));
    // The last handle releases the files.
    let handle = store.clone();
    drop(store);
    assert!(open(&path).is_err());
    drop(handle);
    assert!(open(&path).is_ok());
}

#[test]
fn salvage_keeps_a_copy_of_a_foreign_file() {
    let folder = Folder::new();
    let path = folder.join(SNAPSHOT);
    for number in 1..3 {
        fs::write(&path, "lembro?").unwrap();
        let store = salvage(&path).unwrap();
        assert!(store.is_empty().unwrap());
        let error = store.errors().try_recv().unwrap();
        assert!(error.is_persist());
        let aside = folder.join(format!("sessions.damaged.{number}"));
        let problem = "the snapshot: it is not a snapshot of lembro";
        let kept = format!("the undamaged part was read, and a copy of the files is in {}", aside.display());
        assert_eq!(error.to_string(), format!("sessions in {}: {problem}; {kept}", path.display()));
        assert!(store.errors().try_recv().is_err(), "reported once");
        assert_eq!(fs::read(aside.join(SNAPSHOT)).unwrap(), b"lembro?");
        store.set(&new_id(), record("ada"), HOUR).unwrap();
        drop(store);
        assert_eq!(open(&path).unwrap().len().unwrap(), 1, "sound again");
    }
}

#[test]
fn link_stays_a_link() {
    let folder = Folder::new();
    fs::create_dir(folder.join("data")).unwrap();
    let (link, file, id) = (folder.join("link"), folder.join("data/sessions"), new_id());
    open(&file).unwrap().set(&id, record("ada"), HOUR).unwrap();
    symlink("data/sessions", &link).unwrap();
    let store = open(&link).unwrap();
    assert!(is_there(&store, &id));
    assert!(store.destroy(&id).unwrap().is_done());
    store.close().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(folder.names(), ["data", "link"]);
    assert!(open(&file).unwrap().is_empty().unwrap());
}

/// The changes of [`history`], one in each frame.
const FRAMES: usize = 6;

/// The files of a store that was killed after these frames: Bob, Cat and Dan are created; Ada, who
/// is in the snapshot, is destroyed; Cat is touched; Dan is destroyed.
struct History {
    files: Files,
    time: ManualClock,
    /// Ada, Bob, Cat, Dan.
    ids: [SessionId; 4],
    /// The offset of each frame, and of the end.
    bounds: Vec<usize>,
}

fn history() -> History {
    let (folder, time, ids) = (Folder::in_memory(), Clock::manual(), [(); 4].map(|()| new_id()));
    let options = || options().clock(&time).persist(folder.join(SNAPSHOT));
    let store = LembroStore::with_options(options()).unwrap();
    store.set(&ids[0], record("ada"), HOUR).unwrap();
    store.close().unwrap();
    drop(store);
    let store = LembroStore::with_options(options()).unwrap();
    let length = || usize::try_from(store.stats().journal_bytes).unwrap();
    let mut bounds = vec![length()];
    assert_eq!(bounds, [32], "a compaction begins a new journal");
    for step in 0..FRAMES {
        match step {
            0..3 => store.set(&ids[step + 1], record(["bob", "cat", "dan"][step]), HOUR).unwrap(),
            3 | 5 => assert!(store.destroy(&ids[[0, 3][usize::from(step == 5)]]).unwrap().is_done()),
            _ => assert!(crate::support::steps::touch(&store, &ids[2], 2 * HOUR).unwrap().is_done()),
        }
        bounds.push(length());
    }
    let files = Files::of(&folder);
    assert_eq!(files.0.keys().collect::<Vec<_>>(), [SNAPSHOT, "sessions.journal.3"]);
    assert_eq!(files.0["sessions.journal.3"].len(), bounds[FRAMES]);
    History { files, time, ids, bounds }
}

const LAST: &str = "sessions.journal.3";

impl History {
    fn open(&self, folder: &Folder, what: OnDamage) -> lembro::Result<LembroStore> {
        LembroStore::with_options(options().clock(&self.time).persist(folder.join(SNAPSHOT)).on_damage(what))
    }

    /// Asserts that the store has the sessions that result from these frames alone.
    #[track_caller]
    fn is_as_after(&self, store: &LembroStore, happened: impl Fn(usize) -> bool) {
        let expected = [
            (!happened(3)).then_some(HOUR),
            happened(0).then_some(HOUR),
            happened(1).then_some(if happened(4) { 2 * HOUR } else { HOUR }),
            (happened(2) && !happened(5)).then_some(HOUR),
        ];
        let found = self.ids.each_ref().map(|id| store.get(id).unwrap().map(|stored| stored.ttl));
        assert_eq!(found, expected, "{:?}", self.bounds);
        assert_eq!(store.len().unwrap(), expected.iter().flatten().count());
        store.validate().unwrap();
    }

    /// How many frames are whole in a journal of this length.
    fn whole(&self, length: usize) -> usize {
        self.bounds[1..].iter().filter(|end| **end <= length).count()
    }
}

#[test]
fn truncated_journal_is_read_up_to_the_cut() {
    let (history, folder) = (history(), Folder::in_memory());
    let journal = &history.files.0[LAST];
    for length in 0..=journal.len() {
        let frames = history.whole(length);
        // A killed process leaves no zeros. A loss of power can leave zeros up to the end of a
        // block.
        for zeros in [0, 1, journal.len() - length, 40, 4096 - length] {
            history.files.with(LAST, &[&journal[..length], &vec![0; zeros]].concat()).put(&folder);
            let store =
                history.open(&folder, OnDamage::Refuse).unwrap_or_else(|error| panic!("{length}, {zeros}: {error}"));
            history.is_as_after(&store, |frame| frame < frames);
        }
    }
}

#[test]
fn journal_with_any_bit_wrong_is_refused() {
    let (history, folder) = (history(), Folder::in_memory());
    let (path, journal) = (folder.join(SNAPSHOT), &history.files.0[LAST]);
    for bit in 0..journal.len() * 8 {
        let mut damaged = journal.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let files = history.files.with(LAST, &damaged);
        files.put(&folder);
        let error = history.open(&folder, OnDamage::Refuse).expect_err("accepted").to_string();
        assert!(error.starts_with(&format!("sessions in {}: journal 3: ", path.display())), "bit {bit}: {error}");
        assert_eq!(Files::of(&folder), files);
    }
}

#[test]
fn salvage_of_a_journal_keeps_whole_frames() {
    let (history, folder) = (history(), Folder::in_memory());
    let (path, journal) = (folder.join(SNAPSHOT), &history.files.0[LAST]);
    for byte in 0..journal.len() {
        let mut damaged = journal.clone();
        damaged[byte] ^= 0x10;
        let files = history.files.with(LAST, &damaged);
        files.put(&folder);
        let store = history.open(&folder, OnDamage::Salvage).unwrap();
        let errors: Vec<_> = store.errors().try_iter().collect();
        assert!(errors.len() == 1 && errors[0].is_persist(), "{errors:?}");
        assert!(errors[0].to_string().contains(&format!("{}: journal 3: it", path.display())), "{}", errors[0]);
        // One frame is lost, or none if it was the head of the file.
        let lost = history.whole(byte);
        history.is_as_after(&store, |frame| byte < history.bounds[0] || frame != lost);
        assert_eq!(Files::of(&folder.join("sessions.damaged.1")), files, "byte {byte}");
        // The files are sound now.
        drop(store);
        let store = history.open(&folder, OnDamage::Refuse).unwrap();
        history.is_as_after(&store, |frame| byte < history.bounds[0] || frame != lost);
    }
}

#[test]
fn salvage_of_a_snapshot_keeps_whole_chunks() {
    let (folder, time) = (Folder::in_memory(), Clock::manual());
    let options = || options().max_size("8M").clock(&time).persist(folder.join(SNAPSHOT));
    let ids: Vec<_> = (0..1000).map(|_| new_id()).collect();
    let store = LembroStore::with_options(options()).unwrap();
    for id in &ids {
        assert!(create_owned(&store, id, &record(&"ada ".repeat(64)), "ada", HOUR).unwrap().is_done());
    }
    owners(&store).destroy_all(&owner("grace"), None).unwrap();
    let begun = owners(&store).epoch(&owner("ada")).unwrap();
    store.close().unwrap();
    drop(store);
    let store = LembroStore::with_options(options()).unwrap();
    ids.iter().step_by(2).for_each(|id| assert!(store.destroy(id).unwrap().is_done()));
    drop(store);
    let mut damaged = fs::read(folder.join(SNAPSHOT)).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.join(SNAPSHOT), damaged).unwrap();
    let store = LembroStore::with_options(options().on_damage(OnDamage::Salvage)).unwrap();
    assert!(ids.iter().step_by(2).all(|id| !is_there(&store, id)), "an end in the journal counts");
    let left = store.len().unwrap();
    assert!((1..500).contains(&left), "{left}");
    assert!(owners(&store).epoch(&owner("ada")).unwrap() > begun, "the epoch was after the damage");
    store.validate().unwrap();
}

#[test]
fn files_of_different_stores_are_refused() {
    let (history, folder) = (history(), Folder::in_memory());
    let (path, whole) = (folder.join(SNAPSHOT), &history.files);
    let journal = &whole.0[LAST];
    // A journal that has only its head, as after a crash during a compaction.
    let next = |generation: u64, before: usize| {
        let head = [&b"lembroj\n"[..], &1_u32.to_be_bytes(), &generation.to_be_bytes(), &(before as u64).to_be_bytes()];
        let head = head.concat();
        [&head[..], &crc32fast::hash(&head).to_be_bytes()].concat()
    };
    let length = journal.len();
    let other = self::history().files;
    let cases = [
        (whole.without(LAST), "journal 3 is missing".to_owned()),
        (whole.without(SNAPSHOT), "journal 1 is missing".to_owned()),
        (
            whole.without(SNAPSHOT).without(LAST).with(JOURNAL, journal),
            "journal 1: it is journal 3 under another name".to_owned(),
        ),
        (whole.with(LAST, &next(2, 0)), "journal 3: it is journal 2 under another name".to_owned()),
        (whole.without(LAST).with("sessions.journal.4", journal), "journal 3 is missing".to_owned()),
        (whole.with("sessions.journal.5", &next(5, length)), "journal 4 is missing".to_owned()),
        (
            whole.with(LAST, &journal[..length - 1]).with("sessions.journal.4", &next(4, length)),
            format!("journal 3: it is shorter than it was when journal 4 began ({length} bytes)"),
        ),
        (
            whole.with(LAST, b"once upon a time there was a file"),
            "journal 3: its head is damaged, or of another version".to_owned(),
        ),
        (
            whole.with(LAST, &[&next(3, 0)[..], &journal[history.bounds[1]..]].concat()),
            "journal 3: frames are missing before byte 64".to_owned(),
        ),
    ];
    for (files, problem) in cases {
        files.put(&folder);
        refused(&path, &problem);
        let store = history.open(&folder, OnDamage::Salvage).unwrap();
        store.validate().unwrap();
        assert!(store.errors().try_recv().unwrap().to_string().contains(&problem));
    }
    // Foreign files are left alone, and the remains of a crash are not damage.
    let foreign = [
        ("sessions.journal.x", "x"),
        ("sessions.journal.", ""),
        ("sessions.journal", "y"),
        ("sessionsjournal.9", "z"),
        ("other.journal.9", "z"),
    ];
    let mut files = whole
        .with("sessions.journal.4", &next(4, length))
        .with("sessions.journal.2", b"old")
        .with("sessions.tmp", b"half");
    for (name, text) in foreign {
        files = files.with(name, text.as_bytes());
    }
    files.put(&folder);
    history.is_as_after(&history.open(&folder, OnDamage::Refuse).unwrap(), |_| true);
    for (name, text) in foreign {
        assert_eq!(fs::read(folder.join(name)).unwrap(), text.as_bytes());
    }
    assert!(
        !folder.names().contains(&"sessions.tmp".to_owned())
            && !folder.names().contains(&"sessions.journal.2".to_owned())
    );
    // A journal or a snapshot with a number that no store reaches is not one of a store.
    let last = format!("sessions.journal.{}", u64::MAX);
    whole.with(&last, journal).put(&folder);
    history.is_as_after(&history.open(&folder, OnDamage::Refuse).unwrap(), |_| true);
    let mut file = [&b"lembro\x1a\n"[..], &3_u32.to_be_bytes(), &[0; 8], &u64::MAX.to_be_bytes()].concat();
    let mut hash = Sha256::new_with_prefix(&file);
    file.extend(hash.clone().finalize());
    hash.update([0; 24]);
    file.extend([&[0; 24][..], &hash.finalize()].concat());
    Files::default().with(SNAPSHOT, &file).with(&last, &[]).put(&folder);
    refused(&path, "the snapshot: its base is 18446744073709551615, and no store comes beyond 9223372036854775807");
    history.open(&folder, OnDamage::Salvage).unwrap().validate().unwrap();
    // A journal of another store with the same generation is not noticed. Its changes are whole.
    whole.with(LAST, &other.0[LAST]).put(&folder);
    history.open(&folder, OnDamage::Refuse).unwrap().validate().unwrap();
}

#[test]
fn crash_of_the_first_start_is_no_damage() {
    let folder = Folder::in_memory();
    let path = folder.join(SNAPSHOT);
    drop(open(&path).unwrap());
    let journal = Files::of(&folder).0[JOURNAL].clone();
    for length in 0..=journal.len() {
        Files::default().with(JOURNAL, &journal[..length]).with("sessions.tmp", b"lembro").put(&folder);
        assert!(open(&path).unwrap().is_empty().unwrap());
    }
    // If a journal has changes and there is no snapshot, the snapshot was lost.
    Files::default().with(JOURNAL, &journal).put(&folder);
    let store = open(&path).unwrap();
    store.set(&new_id(), record("ada"), HOUR).unwrap();
    drop(store);
    fs::remove_file(&path).unwrap();
    refused(&path, "journal 1 is missing");
    Files::default().with(JOURNAL, &frames(1, &[&put(&session(1))])).put(&folder);
    refused(&path, "its journal is there, and the snapshot is missing");
    assert_eq!(salvage(&path).unwrap().len().unwrap(), 1);
}

/// A journal with these frames and valid sums.
fn frames(generation: u64, frames: &[&[u8]]) -> Vec<u8> {
    let sum = |bytes: &[u8]| crc32fast::hash(bytes).to_be_bytes();
    let mut journal = [&b"lembroj\n"[..], &1_u32.to_be_bytes(), &generation.to_be_bytes(), &[0; 8]].concat();
    journal.extend(sum(&journal));
    for (number, entries) in frames.iter().enumerate() {
        let numbers = [entries.len() as u64, number as u64 + 1, 1].map(u64::to_be_bytes).concat();
        let head = [&numbers[..], &sum(entries)].concat();
        journal.extend([&head[..], &sum(&head), entries, &[0xa5]].concat());
    }
    journal
}

/// The entry that puts a session, made from its bytes in a snapshot.
fn put(session: &[u8]) -> Vec<u8> {
    [&[1], &session[..8], &session[CLASS + 1..]].concat()
}

fn entry(kind: u8, numbers: &[u64]) -> Vec<u8> {
    [&[kind][..], &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>()].concat()
}

/// The entry of a "log out everywhere".
fn epoch(epoch: u64, owner: &[u8]) -> Vec<u8> {
    [&entry(4, &[epoch, owner.len() as u64]), owner].concat()
}

/// The files of a store with this snapshot and these frames.
fn forged_files(snapshot: &[u8], journal: &[&[u8]]) -> Files {
    Files::default().with(SNAPSHOT, snapshot).with("sessions.journal.0", &frames(0, journal))
}

/// Magic, format, time, base and sum.
const HEAD: usize = 8 + 4 + 8 + 8 + 32;

/// A snapshot with these chunks and valid sums.
fn forged(chunks: &[&[u8]], sessions: u64) -> Vec<u8> {
    let (mut file, mut hash) = (Vec::new(), Sha256::new());
    let mut put = |parts: &[&[u8]]| {
        for part in parts {
            hash.update(part);
            file.extend_from_slice(part);
        }
        file.extend_from_slice(&hash.clone().finalize());
    };
    put(&[b"lembro\x1a\n", &3_u32.to_be_bytes(), &0_u64.to_be_bytes(), &0_u64.to_be_bytes()]);
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

/// Offsets in it.
const CLASS: usize = 8 + 2;
const ROW: usize = CLASS + 1 + 8;
const KIND: usize = ROW + 1;
const RECORD: usize = ROW + 3 + 8 + 8 + 16;

/// The bytes of a session with a second secret of this kind.
fn session_with(handle: u64, kind: u8, second: &[u8]) -> Vec<u8> {
    let record = record("ada");
    let row =
        [&[1, kind, 0][..], &[0xff; 8], &(9_u64 << 32).to_be_bytes(), &[7; 16], second, record.as_bytes()].concat();
    [&handle.to_be_bytes()[..], &[0; 3], &(row.len() as u64).to_be_bytes(), &row].concat()
}

/// A second secret: digest, no seed, and an instant.
fn second(byte: u8) -> Vec<u8> {
    [[byte; 16], [[0; 8], [byte; 8]].concat().try_into().unwrap()].concat()
}

#[test]
fn wrong_sessions_with_right_sums_are_refused() {
    let folder = Folder::in_memory();
    let path = folder.join(SNAPSHOT);
    let (one, two) = (session(1), session(2));
    let files = |chunks: &[&[u8]], sessions: u64, journal: &[&[u8]]| {
        forged_files(&forged(chunks, sessions), journal).put(&folder);
    };
    files(&[&one, &two], 2, &[]);
    let store = open(&path).unwrap();
    assert_eq!(store.len().unwrap(), 2, "the forgery is valid");
    store.validate().unwrap();
    drop(store);
    files(&[&one, &two], 3, &[]);
    refused(&path, "the snapshot: it holds 2 sessions and says that there are 3");
    let with = |at: usize, byte: u8| [&one[..at], &[byte], &one[at + 1..]].concat();
    // An unknown queue, unknown flags, half a session, another format of the row, a missing second
    // secret, too many nonces, a body that is not a record.
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
        files(&[&two, &wrong], 2, &[]);
        refused(&path, "the snapshot: chunk 2 holds an invalid session");
    }
    // Of two sessions with one handle, the first stays.
    files(&[&one, &one], 2, &[]);
    let store = open(&path).unwrap();
    assert_eq!((store.len().unwrap(), store.stats().restored.unwrap().refused), (1, 1));
    store.validate().unwrap();
    drop(store);
    // In the owned queue without an owner.
    files(&[&with(CLASS, 2)], 1, &[]);
    open(&path).unwrap().validate().unwrap();
    // A second secret of each kind, and nonces, which this store ignores.
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
    files(&[&sound.concat()], 4, &[]);
    let store = open(&path).unwrap();
    assert_eq!(store.len().unwrap(), 4);
    store.validate().unwrap();
}

#[test]
fn wrong_changes_with_right_sums_are_refused() {
    let folder = Folder::in_memory();
    let path = folder.join(SNAPSHOT);
    let (one, two, version) = (put(&session(1)), put(&session(2)), 9 << 32);
    let files = |journal: &[&[u8]]| forged_files(&forged(&[&session(7)], 1), journal).put(&folder);
    let handles = |store: &LembroStore| {
        let mut handles: Vec<_> = store.all().unwrap().map(|listed| listed.unwrap().handle.to_u64()).collect();
        handles.sort_unstable();
        handles
    };
    // Ends of other, missing and current incarnations; touches; epochs; a change twice.
    let sound = [
        &one[..],
        &two,
        &one,
        &entry(2, &[1, 8 << 32]),
        &entry(2, &[3, version]),
        &entry(2, &[2, version + 5]),
        &entry(3, &[1, version, u64::MAX]),
        &entry(3, &[2, version, 5]),
        &epoch(6, b"ada"),
        &epoch(3, b"bob"),
        &entry(5, &[2]),
        &[&entry(6, &[1, 0, 0])[..], &[2]].concat(),
    ];
    files(&[&sound.concat()]);
    let store = open(&path).unwrap();
    assert_eq!((handles(&store), store.stats().restored.unwrap().changes), (vec![1, 7], 8));
    assert_eq!(owners(&store).epoch(&owner("ada")).unwrap().to_u64(), 6);
    store.validate().unwrap();
    drop(store);
    let wrong = [
        vec![0],
        vec![7],
        entry(7, &[1, version]),
        entry(2, &[1]),
        entry(3, &[1, version]),
        entry(4, &[1]),
        entry(4, &[1, 9]),
        [&entry(4, &[1, 1])[..], &[0xff]].concat(),
        entry(5, &[]),
        entry(6, &[1, 0, 0]),
        [&entry(6, &[1, 0, 0])[..], &[3]].concat(),
        one[..one.len() - 1].to_vec(),
        [&one[..9], &u64::MAX.to_be_bytes(), &one[17..]].concat(),
        [&one[..17], &[9], &one[18..]].concat(),
    ];
    for wrong in wrong {
        files(&[&two, &[&one[..], &wrong].concat(), &entry(2, &[7, version])]);
        refused(&path, "its journal holds an invalid change");
        let store = salvage(&path).unwrap();
        assert_eq!(handles(&store), [1, 2], "{wrong:?}");
        assert!(store.errors().try_recv().unwrap().to_string().contains("an invalid change"));
        store.validate().unwrap();
    }
    for epoch in [u64::MAX, u64::MAX / 2 + 1] {
        files(&[&if epoch == u64::MAX { self::epoch(epoch, b"ada") } else { entry(5, &[epoch]) }]);
        refused(&path, "its journal holds an invalid change");
        let store = salvage(&path).unwrap();
        let ada = owner("ada");
        let before = owners(&store).epoch(&ada).unwrap();
        owners(&store).destroy_all(&ada, None).unwrap();
        assert!(owners(&store).epoch(&ada).unwrap() > before);
    }
}

// After a compaction, its journal has changes that the snapshot has, too.
#[test]
fn sessions_of_a_compaction_evict_none() {
    let folder = Folder::in_memory();
    let open = || LembroStore::with_options(options().max_size("8K").persist(folder.join(SNAPSHOT))).unwrap();
    let full = (1..).map(session).take(8192 / 150).collect::<Vec<_>>();
    let passing: Vec<_> = (1000..1030).map(|handle| put(&session(handle))).collect();
    let ends: Vec<_> = (1000..1030).map(|handle| entry(2, &[handle, 9 << 32])).collect();
    let frames: Vec<_> = passing.iter().chain(&ends).map(Vec::as_slice).collect();
    forged_files(&forged(&[&full.concat()], full.len() as u64), &frames).put(&folder);
    let store = open();
    assert_eq!((store.len().unwrap(), store.stats().restored.unwrap().evicted), (full.len(), 0));
    store.validate().unwrap();
    drop(store);
    // Sessions that do not end evict others after the replay.
    forged_files(&forged(&[&full.concat()], full.len() as u64), &frames[..30]).put(&folder);
    let store = open();
    let restored = store.stats().restored.unwrap();
    assert!(store.bytes() <= 8192 && restored.evicted > 20, "{restored:?}");
    assert_eq!(restored.sessions + restored.evicted, full.len() + 30);
    assert_eq!(store.stats().evicted, restored.evicted as u64);
    store.validate().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_no_content_panics_the_readers(
        noise in prop::collection::vec(any::<u8>(), 0..200), at in 0..140_usize, byte: u8, kind in 0..4_u8,
    ) {
        let folder = Folder::in_memory();
        let path = folder.join(SNAPSHOT);
        let mut changed = session_with(1, kind, if kind == 0 { &[] } else { &[7; 32] });
        if let Some(place) = changed.get_mut(at) {
            *place = byte;
        }
        let (empty, both) = (forged(&[], 0), [&changed[..], &noise].concat());
        let more = [put(&changed), noise.clone()].concat();
        for files in [
            forged_files(&noise, &[]),
            forged_files(&forged(&[&noise], 1), &[]),
            forged_files(&forged(&[&changed], 1), &[]),
            forged_files(&forged(&[&both], 2), &[]),
            forged_files(&empty, &[]).with("sessions.journal.0", &noise),
            forged_files(&empty, &[&noise]),
            forged_files(&empty, &[&put(&changed)]),
            forged_files(&empty, &[&more]),
            forged_files(&empty, &[]).with("sessions.journal.0", &[&frames(0, &[&put(&changed)]), &noise[..]].concat()),
        ] {
            for store in [open(&path), salvage(&path)] {
                match store {
                    Ok(store) => store.validate().unwrap(),
                    Err(error) => prop_assert!(error.is_persist()),
                }
            }
            files.put(&folder);
        }
    }
}
