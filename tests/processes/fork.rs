//! Promise: neither a fork nor the end of a thread makes ids repeat, or stops a process that uses
//! sessions.
//!
//! What is drawn, and differs in parent and child: [`SessionId::random`], the ids that `Sessions`
//! gives out, the secrets of `regenerate` and `log_in`, the keys and masks of CSRF tokens, nonces
//! of commits, versions of `set`, seeds of timed renewals. (Hash seeds may be the same: they are
//! not compared between processes.)
//!
//! What can be done in a child with a store from before the fork: look, commit, purge, list,
//! close, drop, in any order; the parent's store goes on. If the store persists, the child looks,
//! and its commits are refused; the files are the parent's.
//!
//! What runs in the destructor of a thread-local, before or after the crate's own were destroyed:
//! draws, records, changes, commits, sessions and their ends, stores and layers made and dropped.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lembro::{
    Changes, Commit, Identity, Lease, LembroOptions, LembroStore, Policy, Record, SessionId, Sessions, Store,
};

use crate::alone;
use crate::forked::forked;
use crate::scratch::Folder;
use crate::steps::{create, is_there, new_id};

const HOUR: Duration = Duration::from_secs(3600);

fn assert_all_differ(halves: &[Vec<String>; 2]) {
    let (drawn, lines) = (halves[0].len(), halves.concat());
    assert!(drawn > 0 && halves[1].len() == drawn, "{drawn} and {}", halves[1].len());
    let different: HashSet<_> = lines.iter().collect();
    assert_eq!(different.len(), 2 * drawn, "some were drawn in both processes: {lines:?}");
}

#[test]
fn fork_draws_different_ids() {
    let _alone = alone();
    let _drawn = new_id();
    assert_all_differ(&forked(|| (0..100).map(|_| new_id().expose()).collect()));
    // In both halves of their text: the handle names a session, the secret opens it.
    let halves = forked(|| (0..10).map(|_| new_id().expose()[11..].to_owned()).collect());
    assert_all_differ(&halves);
}

#[test]
fn fork_of_a_fork_draws_different_ids() {
    let _alone = alone();
    let _drawn = new_id();
    let halves = forked(|| {
        let below = forked(|| vec![new_id().expose(), new_id().expose()]);
        below.concat()
    });
    assert_eq!(halves[0].len(), 4);
    assert_all_differ(&halves);
}

#[test]
fn fork_draws_different_session_secrets() {
    let _alone = alone();
    let sessions = Sessions::new(LembroStore::with_options(LembroOptions::new().interval(0)).unwrap());
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    let id = session.id().unwrap();
    let _csrf = session.csrf_token().unwrap();
    session.save().unwrap();
    assert_all_differ(&forked(|| {
        let mut drawn = Vec::new();
        let mut fresh = sessions.generate().unwrap();
        fresh.insert("user", "ada").unwrap();
        let token = fresh.csrf_token().unwrap();
        fresh.save().unwrap();
        drawn.extend([fresh.id().unwrap().expose(), token]);
        let mut renewed = sessions.load(&id).unwrap().unwrap();
        // A mask of the same key.
        drawn.push(renewed.csrf_token().unwrap());
        renewed.regenerate().unwrap();
        renewed.save().unwrap();
        drawn.push(renewed.id().unwrap().expose());
        renewed.log_in("ada").unwrap();
        renewed.save().unwrap();
        drawn.push(renewed.id().unwrap().expose());
        drawn
    }));
}

#[test]
fn fork_draws_different_nonces_and_versions() {
    let _alone = alone();
    let store = LembroStore::with_options(LembroOptions::new().interval(0)).unwrap();
    let _drawn = Commit::create().unwrap();
    assert_all_differ(&forked(|| {
        // A session that is created begins with the nonce of its commit as its version.
        let created = |number: usize| {
            let id = SessionId::derive(&format!("the same {number}"));
            let outcome = store.commit(&id, &Commit::create().unwrap(), &Lease::new(HOUR)).unwrap();
            format!("{:?}", outcome.receipt().unwrap().version)
        };
        let mut drawn: Vec<_> = (0..100).map(created).collect();
        let id = SessionId::derive("the same");
        store.set(&id, Record::new(), HOUR).unwrap();
        drawn.push(format!("{:?}", store.get(&id).unwrap().unwrap().record.version()));
        drawn
    }));
}

#[test]
fn child_can_use_and_close_the_store() {
    let _alone = alone();
    for interval in [0, 1, 60_000] {
        for close in [true, false] {
            let store = LembroStore::with_options(LembroOptions::new().interval(interval)).unwrap();
            let id = new_id();
            assert!(create(&store, &id, &Record::new(), HOUR).unwrap().is_done());
            let kept = Mutex::new(Some(store.clone()));
            let halves = forked(|| {
                // The only handle in the child; in the parent there is another one.
                let own = kept.lock().unwrap().take().unwrap();
                assert!(is_there(&own, &id));
                let new = new_id();
                assert!(create(&own, &new, &Record::new(), HOUR).unwrap().is_done());
                assert_eq!((own.len().unwrap(), own.purge()), (2, 0));
                if close {
                    own.close().unwrap();
                    own.close().unwrap();
                }
                assert!(is_there(&own, &new));
                drop(own);
                vec!["done".to_owned()]
            });
            assert_eq!(halves[0], ["done"]);
            let start = Instant::now();
            assert!(is_there(&store, &id));
            store.close().unwrap();
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    }
}

#[test]
fn child_writes_nothing_to_the_files() {
    let _alone = alone();
    for close in [true, false] {
        let (folder, id) = (Folder::new(), new_id());
        let options = LembroOptions::new().interval(0).persist(folder.join("sessions"));
        let store = LembroStore::with_options(options.clone()).unwrap();
        assert!(create(&store, &id, &Record::new(), HOUR).unwrap().is_done());
        let kept = Mutex::new(Some(store));
        // As long as the child runs, the parent has done nothing yet.
        let (mut output, input) = std::io::pipe().unwrap();
        let parent = std::process::id();
        let halves = forked(|| {
            let own = kept.lock().unwrap().take().unwrap();
            if std::process::id() == parent {
                assert_eq!(output.try_clone().unwrap().read(&mut [0]).unwrap(), 1);
                let new = new_id();
                assert!(create(&own, &new, &Record::new(), HOUR).unwrap().is_done());
                assert!(LembroStore::with_options(options.clone()).unwrap_err().is_persist(), "it is locked still");
                drop(own);
                // A child has the lock's file open until it ends.
                let open = || LembroStore::with_options(options.clone());
                let again =
                    (0..1000).find_map(|_| open().inspect_err(|_| thread::sleep(Duration::from_millis(10))).ok());
                let again = again.unwrap();
                assert!(is_there(&again, &new) && again.len().unwrap() == 2);
                return vec!["parent".to_owned()];
            }
            assert!(is_there(&own, &id));
            let error = create(&own, &new_id(), &Record::new(), HOUR).unwrap_err();
            assert!(error.is_unknown(), "{error}");
            let told: Vec<_> = std::iter::successors(std::error::Error::source(&error), |error| error.source())
                .map(ToString::to_string)
                .collect();
            assert!(told.concat().contains("the store was made before this process was forked"), "{told:?}");
            assert!(create(&own, &new_id(), &Record::new(), HOUR).unwrap_err().is_persist());
            assert!(own.destroy(&id).unwrap_err().is_persist() && is_there(&own, &id));
            if close {
                assert!(own.close().unwrap_err().is_persist());
            }
            drop(own);
            (&input).write_all(b"x").unwrap();
            vec!["child".to_owned()]
        });
        assert_eq!(halves, [["child"], ["parent"]]);
        drop((output.read(&mut []), input));
    }
}

#[test]
fn child_can_drop_the_last_handle() {
    let _alone = alone();
    let store = Mutex::new(Some(LembroStore::new().unwrap()));
    let halves = forked(|| {
        drop(store.lock().unwrap().take().unwrap());
        vec!["dropped".to_owned()]
    });
    assert_eq!(halves, [["dropped"], ["dropped"]]);
}

/// Runs when the thread's locals are destroyed.
struct AtExit(Option<Box<dyn FnOnce()>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

thread_local! {
    static AT_EXIT: RefCell<AtExit> = const { RefCell::new(AtExit(None)) };
}

fn at_exit(work: impl FnOnce() + 'static) {
    AT_EXIT.with(|at_exit| at_exit.borrow_mut().0 = Some(Box::new(work)));
}

fn use_everything(store: &LembroStore) {
    let sessions = Sessions::with_policy(store.clone(), Policy::new()).unwrap();
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    let id = session.id().unwrap();
    let mut session = sessions.load(&id).unwrap().unwrap();
    assert_eq!(session.get_str("user").unwrap().as_deref(), Some("ada"));
    session.insert("cart", &["tea", "cups"]).unwrap();
    session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1).unwrap();
    let _token = session.csrf_token().unwrap();
    session.regenerate().unwrap();
    session.save().unwrap();
    session.log_in("ada").unwrap();
    session.save().unwrap();
    sessions.owner("ada").unwrap().destroy_all().unwrap();
    let (id, mut changes) = (SessionId::random().unwrap(), Changes::new());
    changes.insert("", "data", &"x".repeat(20_000)).unwrap();
    let lease = Lease::new(HOUR);
    assert!(store.commit(&id, &Commit::create().unwrap().with(changes.clone()), &lease).unwrap().is_done());
    let version = store.get(&id).unwrap().unwrap().record.version();
    let commit = Commit::merge(version).unwrap().with(changes).with_identity(Identity::Replace(id.renewed(&new_id())));
    assert!(store.commit(&id, &commit, &lease).unwrap().is_done());
    store.purge();
    let events = store.events();
    store.clear().unwrap();
    assert!(events.try_iter().count() > 0);
    drop(LembroStore::new().unwrap());
    #[cfg(feature = "rouille")]
    {
        let layer = lembro::web::SessionLayer::new(store.clone());
        let request = rouille::Request::fake_http("GET", "/", vec![], vec![]);
        let response = layer.rouille(&request, |session| -> lembro::Result<rouille::Response> {
            session.insert("user", "ada")?;
            Ok(rouille::Response::text("hello"))
        });
        assert_eq!(response.status_code, 200);
    }
}

/// A panic in such a destructor aborts, so a process of its own is the one to fail.
#[test]
fn thread_local_destructors_can_use_everything() {
    if let Ok(order) = std::env::var("LEMBRO_AT_EXIT") {
        let store = LembroStore::new().unwrap();
        let thread = thread::spawn(move || {
            let own = store.clone();
            if order == "first" {
                use_everything(&store);
            }
            // Destroyed after what is used from here on, and before what was used until here.
            at_exit(move || {
                use_everything(&own);
                drop(own);
                println!("the end was reached");
            });
            if order == "last" {
                use_everything(&store);
            }
            // A session that is still open, with changes that are not saved.
            let sessions = Sessions::new(store);
            let mut session = sessions.generate().unwrap();
            session.insert("user", "ada").unwrap();
            if order == "open" {
                AT_EXIT.with(|at_exit| {
                    let work = at_exit.borrow_mut().0.take().unwrap();
                    at_exit.borrow_mut().0 = Some(Box::new(move || {
                        session.insert("more", "data").unwrap();
                        session.save().unwrap();
                        work();
                        drop(session);
                    }));
                });
            }
        });
        thread.join().unwrap();
        return;
    }
    for order in ["first", "last", "never", "open"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "fork::thread_local_destructors_can_use_everything"])
            .env("LEMBRO_AT_EXIT", order)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("the end was reached"), "{order}: {text}");
    }
}
