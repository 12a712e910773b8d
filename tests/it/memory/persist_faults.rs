//! Write errors: acknowledged changes stay, changes are refused or made in memory as the option
//! says, and the store recovers by itself.
#![cfg(unix)]

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lembro::{Error, FileSync, LembroOptions, LembroStore, OnWriteError, Record, SessionId, Store};

use crate::support::scratch::Folder;
use crate::support::steps::{create_owned, is_there, new_id, owner, owners, save, touch, version_of};

const HOUR: Duration = Duration::from_secs(3600);

fn options(folder: &Path) -> LembroOptions {
    LembroOptions::new().interval(0).max_size("8M").persist(folder.join("sessions"))
}

fn open(folder: &Path, what: OnWriteError) -> LembroStore {
    LembroStore::with_options(options(folder).on_write_error(what)).unwrap()
}

fn record(bytes: usize) -> Record {
    [("x", "x".repeat(bytes))].into_iter().collect()
}

/// Waits for an effect of the upkeep.
#[track_caller]
fn comes(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(30), "the upkeep had no effect");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A folder on which something is mounted, until it is dropped.
struct Mount(Folder);

impl Mount {
    /// Returns `None` and prints why where a mount is not allowed.
    fn new(arguments: &[&str]) -> Option<Self> {
        let folder = Folder::new();
        let done = Command::new("mount").args(arguments).arg(&*folder).output();
        if done.as_ref().is_ok_and(|done| done.status.success()) {
            return Some(Self(folder));
        }
        println!("skipped, because nothing can be mounted here: {done:?}");
        None
    }
}

impl Deref for Mount {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&*self.0).status();
    }
}

/// Creates sessions until one cannot be written. Returns the acknowledged ones and the other one.
fn fill(store: &LembroStore) -> (Vec<SessionId>, SessionId, Error) {
    let mut ids = Vec::new();
    loop {
        let id = new_id();
        match create_owned(store, &id, &record(3000), "ada", HOUR) {
            Ok(outcome) => assert!(outcome.is_done()),
            Err(error) => return (ids, id, error),
        }
        ids.push(id);
    }
}

#[test]
fn full_disk_refuses_changes() {
    let Some(disk) = Mount::new(&["-t", "tmpfs", "-o", "size=256k", "none"]) else { return };
    let store = open(&disk, OnWriteError::Refuse);
    let (early, errors) = (new_id(), store.errors());
    store.set(&early, record(10), HOUR).unwrap();
    fs::write(disk.join("ballast"), vec![0; 160_000]).unwrap();
    let (ids, unknown, error) = fill(&store);
    // The commit under way is in memory and in no file.
    assert!(error.is_unknown() && error.is_store(), "{error}");
    let told = errors.try_recv().unwrap();
    assert!(told.is_persist() && told.to_string().contains("No space left on device"), "{told}");
    assert!(ids.len() > 5 && store.stats().persist_failing);

    // From then on every change is refused.
    let version = version_of(&store, &early);
    let refused = [
        store.set(&new_id(), record(10), HOUR).unwrap_err(),
        create_owned(&store, &new_id(), &record(10), "ada", HOUR).unwrap_err(),
        save(&store, &early, &lembro::Changes::from(&record(20)), HOUR, version).unwrap_err(),
        store.destroy(&early).unwrap_err(),
        store.clear().unwrap_err(),
        owners(&store).destroy_all(&owner("ada"), None).unwrap_err(),
        owners(&store).destroy_handle(early.handle(), None, lembro::EndReason::Named).unwrap_err(),
    ];
    for error in refused {
        assert!(error.is_store() && error.is_persist() && !error.is_unknown(), "{error}");
    }
    assert_eq!(version_of(&store, &early), version);
    assert_eq!(owners(&store).count(&owner("ada")).unwrap(), ids.len() + 1);
    assert!(ids.iter().all(|id| is_there(&store, id)) && is_there(&store, &unknown), "looks still succeed");
    assert!(touch(&store, &early, 2 * HOUR).unwrap().is_done());

    // A crash on the full disk loses no acknowledged change, and the files can be read.
    let copy = Folder::in_memory();
    for name in ["sessions", "sessions.journal.1", "sessions.journal.2"] {
        let _ = fs::copy(disk.join(name), copy.join(name));
    }
    let crashed = open(&copy, OnWriteError::Refuse);
    assert!(ids.iter().chain([&early]).all(|id| is_there(&crashed, id)));
    drop(crashed);

    fs::remove_file(disk.join("ballast")).unwrap();
    comes(|| store.set(&new_id(), record(10), HOUR).is_ok());
    assert!(!store.stats().persist_failing);
    assert!(store.destroy(&ids[0]).unwrap().is_done());
    drop(store);
    let store = open(&disk, OnWriteError::Refuse);
    assert!(ids[1..].iter().chain([&early, &unknown]).all(|id| is_there(&store, id)));
    assert!(!is_there(&store, &ids[0]));
    assert_eq!(store.get(&early).unwrap().unwrap().ttl.as_secs() / 3600, 1, "touched while the disk was full");
}

#[test]
fn full_disk_continues_in_memory_on_request() {
    let Some(disk) = Mount::new(&["-t", "tmpfs", "-o", "size=256k", "none"]) else { return };
    let store = open(&disk, OnWriteError::Continue);
    let errors = store.errors();
    fs::write(disk.join("ballast"), vec![0; 160_000]).unwrap();
    let ids: Vec<_> = (0..60).map(|_| new_id()).collect();
    for id in &ids {
        assert!(create_owned(&store, id, &record(2000), "ada", HOUR).unwrap().is_done());
    }
    let told = errors.try_recv().unwrap().to_string();
    assert!(told.ends_with("until they can be written again, sessions change in memory alone"), "{told}");
    assert!(store.stats().persist_failing);
    for id in &ids[..20] {
        assert!(store.destroy(id).unwrap().is_done());
    }
    // Each attempt reports its error, with longer and longer pauses.
    let began = Instant::now();
    comes(|| began.elapsed() > Duration::from_secs(5));
    let again = errors.try_iter().count();
    assert!((1..5).contains(&again), "{again}");
    fs::remove_file(disk.join("ballast")).unwrap();
    comes(|| !store.stats().persist_failing);
    for id in &ids[20..30] {
        assert!(store.destroy(id).unwrap().is_done());
    }
    drop(store);
    let store = open(&disk, OnWriteError::Refuse);
    assert_eq!(store.len().unwrap(), 30);
    assert!(ids[30..].iter().all(|id| is_there(&store, id)));
}

const LIMITED: &str = "LEMBRO_TEST_LIMITED";

/// Runs a test again in a child process, after these shell commands.
fn again(name: &str, commands: &str, folder: &Path) -> String {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{commands} exec \"$0\" --exact {name} --nocapture"));
    let done = shell.arg(std::env::current_exe().unwrap()).env(LIMITED, folder).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{printed}{}", String::from_utf8_lossy(&done.stderr));
    printed
}

#[test]
fn journal_at_its_size_limit_is_compacted() {
    if let Some(folder) = std::env::var_os(LIMITED) {
        let store = open(Path::new(&folder), OnWriteError::Refuse);
        let id = SessionId::derive("the same");
        for number in 0..100_u64 {
            let error = match store.set(
                &id,
                [("number", number)].into_iter().chain((0..100).map(|_| ("x", number))).collect(),
                HOUR,
            ) {
                Ok(()) => continue,
                Err(error) => error,
            };
            assert!(error.is_unknown() && error.to_string().contains(&id.handle().to_string()), "{error}");
            assert!(!store.set(&id, record(1), HOUR).unwrap_err().is_unknown());
            comes(|| store.set(&id, [("number", number)].into_iter().collect(), HOUR).is_ok());
            return println!("the file was full");
        }
        unreachable!("it never was");
    }
    let folder = Folder::new();
    // No more than 8 blocks of 512 or 1024 bytes in a file.
    let name = "memory::persist_faults::journal_at_its_size_limit_is_compacted";
    assert!(again(name, "trap '' XFSZ; ulimit -f 8;", &folder).contains("the file was full"));
    let store = open(&folder, OnWriteError::Refuse);
    assert!(store.get(&SessionId::derive("the same")).unwrap().unwrap().record.get::<u64>("number").unwrap() > Some(1));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn unwritable_snapshot_keeps_the_old_files() {
    if let Some(folder) = std::env::var_os(LIMITED) {
        let error = LembroStore::with_options(options(Path::new(&folder))).unwrap_err();
        assert!(error.is_persist() && error.to_string().contains("they cannot be written: File too large"), "{error}");
        // With `OnWriteError::Continue` there is a store, with its sessions.
        let store = open(Path::new(&folder), OnWriteError::Continue);
        assert!(store.errors().try_recv().unwrap().to_string().contains("File too large"));
        assert!(store.stats().persist_failing && store.len().unwrap() == 100);
        return println!("the disk was full");
    }
    let folder = Folder::new();
    let (store, ids) = (open(&folder, OnWriteError::Refuse), [(); 100].map(|()| new_id()));
    ids.iter().for_each(|id| store.set(id, record(300), HOUR).unwrap());
    drop(store);
    let name = "memory::persist_faults::unwritable_snapshot_keeps_the_old_files";
    assert!(again(name, "trap '' XFSZ; ulimit -f 8;", &folder).contains("the disk was full"));
    assert!(!folder.names().contains(&"sessions.tmp".to_owned()), "{:?}", folder.names());
    let store = open(&folder, OnWriteError::Refuse);
    assert!(ids.iter().all(|id| is_there(&store, id)));
}

#[test]
fn second_process_is_refused() {
    if let Some(folder) = std::env::var_os(LIMITED) {
        let error = LembroStore::with_options(options(Path::new(&folder))).unwrap_err();
        let expected = "another store uses it, in this process or in another one: give each store a path of its own";
        assert!(error.is_persist() && error.to_string().ends_with(expected), "{error}");
        return println!("refused");
    }
    let (folder, id) = (Folder::new(), new_id());
    let store = open(&folder, OnWriteError::Refuse);
    let name = "memory::persist_faults::second_process_is_refused";
    assert!(again(name, "", &folder).contains("refused"));
    store.set(&id, record(10), HOUR).unwrap();
    drop(store);
    assert!(is_there(&open(&folder, OnWriteError::Refuse), &id));
}

#[test]
fn removed_folder_is_noticed_and_repaired() {
    for only_the_journal in [false, true] {
        let folder = Folder::new();
        let place = folder.join("data");
        fs::create_dir(&place).unwrap();
        let (store, ids) = (open(&place, OnWriteError::Refuse), [(); 3].map(|()| new_id()));
        let errors = store.errors();
        store.set(&ids[0], record(10), HOUR).unwrap();
        if only_the_journal {
            fs::remove_file(place.join("sessions.journal.1")).unwrap();
        } else {
            fs::remove_dir_all(&place).unwrap();
        }
        store.set(&ids[1], record(10), HOUR).unwrap();
        if !only_the_journal {
            comes(|| store.set(&new_id(), record(10), HOUR).is_err_and(|error| error.is_persist()));
            let told = errors.try_recv().unwrap();
            assert!(told.is_persist(), "{told}");
            assert!(is_there(&store, &ids[0]));
            fs::create_dir(&place).unwrap();
        }
        comes(|| place.join("sessions").exists() && place.join("sessions.journal.2").exists());
        comes(|| store.set(&ids[2], record(10), HOUR).is_ok());
        drop(store);
        let store = open(&place, OnWriteError::Refuse);
        assert!(ids.iter().all(|id| is_there(&store, id)));
    }
}

#[test]
fn unwritable_folder_is_refused_at_the_start() {
    let says = |folder: &Path, part: &str| {
        let error = LembroStore::with_options(options(folder)).unwrap_err();
        let path = format!("sessions in {}: ", folder.join("sessions").display());
        assert!(
            error.is_persist() && error.to_string().starts_with(&path) && error.to_string().contains(part),
            "{error}"
        );
    };
    let folder = Folder::new();
    fs::set_permissions(&*folder, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere.
    if fs::write(folder.join("x"), "").is_err() {
        says(&folder, "sessions.lock cannot be made: Permission denied");
    }
    fs::set_permissions(&*folder, fs::Permissions::from_mode(0o700)).unwrap();
    let Some(disk) = Mount::new(&["-t", "tmpfs", "-o", "ro,size=256k", "none"]) else { return };
    says(&disk, "sessions.lock cannot be made: Read-only file system");
    // A file that something is mounted on cannot be replaced.
    let store = open(&folder, OnWriteError::Refuse);
    store.set(&new_id(), record(10), HOUR).unwrap();
    drop(store);
    let (path, elsewhere) = (folder.join("sessions"), Folder::new());
    fs::copy(&path, elsewhere.join("sessions")).unwrap();
    let mounted = Command::new("mount").arg("--bind").arg(elsewhere.join("sessions")).arg(&path).status().unwrap();
    assert!(mounted.success());
    let failed = std::panic::catch_unwind(|| says(&folder, "they cannot be written: Device or resource busy"));
    assert!(Command::new("umount").arg(&path).status().unwrap().success());
    failed.unwrap();
    assert_eq!(open(&folder, OnWriteError::Refuse).len().unwrap(), 1);
}

/// A disk image. As on a real disk, it has only the bytes that were flushed.
struct Disk {
    mount: Mount,
    image: Folder,
}

impl Disk {
    fn new() -> Option<Self> {
        let image = Folder::new();
        let file = fs::File::create(image.join("disk")).unwrap();
        file.set_len(16 << 20).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(image.join("disk")).output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            println!("skipped, because no file system can be made here: {made:?}");
            return None;
        }
        Self::mount(image)
    }

    fn mount(image: Folder) -> Option<Self> {
        let mount = Mount::new(&["-o", "loop", image.join("disk").to_str().unwrap()])?;
        Some(Self { mount, image })
    }

    /// A copy of the disk, as after a loss of power.
    fn pull_the_plug(&self) -> Self {
        let image = Folder::new();
        fs::copy(self.image.join("disk"), image.join("disk")).unwrap();
        Self::mount(image).unwrap()
    }
}

#[test]
fn power_loss_loses_nothing_with_sync_always() {
    let Some(disk) = Disk::new() else { return };
    let mut lost = 0;
    for sync in [FileSync::Always, FileSync::Never] {
        let place = disk.mount.join(format!("{sync:?}"));
        fs::create_dir(&place).unwrap();
        assert!(Command::new("sync").arg("-f").arg(&place).status().unwrap().success());
        let store = LembroStore::with_options(options(&place).sync(sync)).unwrap();
        let ids: Vec<_> = (0..30).map(|_| new_id()).collect();
        for (number, id) in ids.iter().enumerate() {
            assert!(create_owned(&store, id, &record(100 * number), "ada", HOUR).unwrap().is_done());
            if number % 3 == 2 {
                assert!(store.destroy(&ids[number - 1]).unwrap().is_done());
            }
            if number % 5 != 4 {
                continue;
            }
            let after = disk.pull_the_plug();
            let again = LembroStore::with_options(options(&after.mount.join(format!("{sync:?}")))).unwrap();
            let expected = ids.iter().take(number + 1).map(|id| is_there(&store, id));
            let found = ids.iter().take(number + 1).map(|id| is_there(&again, id));
            let differing = expected.zip(found).filter(|(expected, found)| expected != found).count();
            lost += differing;
            assert!(sync == FileSync::Never || differing == 0, "{differing} of {number}");
        }
    }
    assert!(lost > 0, "the disk has bytes that were never flushed: the test shows nothing");
}
