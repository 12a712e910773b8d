//! Races of regenerate, save and logout: acknowledged saves are kept, ended sessions stay ended.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::support::session::{ends_soon, save_value, stored_session, validate};
use lembro::{Error, LembroStore, Saved, SessionId, Sessions, Store};

const ROUNDS: usize = 1_000;

/// Saves one key after the other under the present id. Returns the keys that were acknowledged.
fn save_keys(sessions: &Sessions, id: &Mutex<SessionId>, name: &str) -> Result<Vec<String>, Error> {
    let mut written = Vec::new();
    for number in 0..4 {
        let now = *id.lock().unwrap();
        let Some(mut session) = sessions.load(&now)? else { continue };
        let key = format!("{name}{number}");
        session.insert(&key, &number)?;
        if session.save()? == Saved::Written {
            written.push(key);
        }
    }
    Ok(written)
}

#[test]
fn race_save_beside_regenerate_is_kept_or_told() {
    ends_soon(|| {
        let store = LembroStore::new().unwrap();
        let sessions = Sessions::new(store.clone());
        let mut refused = 0;
        for _ in 0..ROUNDS {
            let mut session = stored_session(&sessions);
            // A large session takes long to merge, so that the other threads come in between.
            save_value(&mut session, "ballast", &"x".repeat(50_000));
            let first = session.id().unwrap();
            let id = Mutex::new(first);
            let start = Barrier::new(3);
            let (written, old_ids) = thread::scope(|scope| {
                let savers = ["a", "b"].map(|name| {
                    let (start, sessions, id) = (&start, &sessions, &id);
                    scope.spawn(move || {
                        start.wait();
                        save_keys(sessions, id, name).unwrap()
                    })
                });
                start.wait();
                let mut session = session;
                let mut old_ids = Vec::new();
                for _ in 0..4 {
                    old_ids.push(session.id().unwrap());
                    session.regenerate().unwrap();
                    assert_eq!(session.save().unwrap(), Saved::Written);
                    *id.lock().unwrap() = session.id().unwrap();
                }
                let written: Vec<String> = savers.into_iter().flat_map(|saver| saver.join().unwrap()).collect();
                (written, old_ids)
            });
            let last = *id.lock().unwrap();
            let session = sessions.load(&last).unwrap().expect("it was not ended");
            assert_eq!(session.handle().unwrap(), first.handle());
            for key in &written {
                assert!(session.contains_key(key).unwrap(), "{key} was acknowledged and is lost");
            }
            assert_eq!(session.len().unwrap(), written.len() + 2, "a key was written and not acknowledged");
            for old in old_ids {
                assert!(sessions.load(&old).unwrap().is_none(), "an old id lives");
            }
            refused += 8 - written.len();
            validate(&store);
            store.clear().unwrap();
        }
        assert!(refused < ROUNDS * 8, "no save ever got through");
    });
}

#[test]
fn race_logout_beside_saves_is_final() {
    ends_soon(|| {
        let store = LembroStore::new().unwrap();
        let sessions = Sessions::new(store.clone());
        for _ in 0..ROUNDS {
            let session = stored_session(&sessions);
            let ids = Arc::new(Mutex::new(vec![session.id().unwrap()]));
            let start = Barrier::new(4);
            thread::scope(|scope| {
                for name in ["a", "b"] {
                    let (start, sessions, ids) = (&start, &sessions, &ids);
                    scope.spawn(move || {
                        start.wait();
                        let id = Mutex::new(*ids.lock().unwrap().last().unwrap());
                        save_keys(sessions, &id, name).unwrap();
                    });
                }
                let (start, sessions, ids) = (&start, &sessions, &ids);
                scope.spawn(move || {
                    let mut session = session;
                    start.wait();
                    for _ in 0..4 {
                        session.regenerate().unwrap();
                        // If the session has ended, this begins a new one, which is empty.
                        if session.save().unwrap() != Saved::Written {
                            return;
                        }
                        ids.lock().unwrap().push(session.id().unwrap());
                    }
                });
                start.wait();
                // Logs out under the present id, and again if the id was replaced in between.
                while let Some(mut found) = {
                    let last = *ids.lock().unwrap().last().unwrap();
                    sessions.load(&last).unwrap()
                } {
                    found.log_out().unwrap();
                    assert_eq!(found.save().unwrap(), Saved::Gone);
                }
            });
            // A regenerate may have come after the last look.
            let ids = ids.lock().unwrap().clone();
            if let Some(mut survivor) = sessions.load(ids.last().unwrap()).unwrap() {
                survivor.log_out().unwrap();
            }
            for id in &ids {
                assert!(sessions.load(id).unwrap().is_none(), "it came back");
            }
            assert_eq!(store.len().unwrap(), 0);
            validate(&store);
        }
    });
}

#[test]
fn race_logout_beside_saves_leaves_nothing() {
    ends_soon(|| {
        let store = LembroStore::new().unwrap();
        let sessions = Sessions::new(store.clone());
        for _ in 0..ROUNDS {
            let mut logout = stored_session(&sessions);
            let id = Mutex::new(logout.id().unwrap());
            let mut slow = sessions.load(&logout.id().unwrap()).unwrap().unwrap();
            slow.insert("slow", &1).unwrap();
            let start = Barrier::new(4);
            thread::scope(|scope| {
                for name in ["a", "b"] {
                    let (start, sessions, id) = (&start, &sessions, &id);
                    scope.spawn(move || {
                        start.wait();
                        save_keys(sessions, id, name).unwrap();
                    });
                }
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    // Written before the logout, or Gone after it: the session ends either way.
                    let saved = slow.save().unwrap();
                    assert_ne!(saved, Saved::Unchanged);
                    if saved == Saved::Written {
                        let _ = slow.modify("slow", |slow: &mut Option<u32>| *slow = Some(2)).unwrap();
                        slow.touch().unwrap();
                    }
                });
                start.wait();
                logout.log_out().unwrap();
                assert_eq!(store.len().unwrap(), 0, "gone when destroy returns");
            });
            assert_eq!(store.len().unwrap(), 0, "it came back");
            assert_eq!(store.bytes(), 0);
            validate(&store);
        }
    });
}
