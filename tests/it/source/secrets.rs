//! Invariant 10: the secret part of an id is in no text but the cookie's, whatever is printed.

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use crate::support::session::stored_session;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use lembro::{
    Action, Clock, Commit, Entry, Handle, Identity, Lease, LembroOptions, LembroStore, Login, Lookup, Now, Outcome,
    Owner, Policy, Record, SessionId, Sessions, Store, Write,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Every way that 16 bytes of secret could be written: base64url of the id's tail, hex, decimal, as
/// a list of bytes.
struct Search {
    needles: Vec<String>,
    haystack: String,
}

impl Search {
    fn new(ids: &[SessionId]) -> Self {
        let mut search = Self { needles: Vec::new(), haystack: String::new() };
        ids.iter().for_each(|id| search.add(*id));
        search
    }

    fn add(&mut self, id: SessionId) {
        let text = id.expose();
        // The first 11 characters are the handle, and the 11th has two bits of the secret's first
        // byte.
        self.needles.push(text[11..].to_owned());
        self.needles.push(text[16..24].to_owned());
        let bytes = decode(&text);
        let secret = &bytes[8..];
        self.needles.push(secret.iter().map(|byte| format!("{byte:02x}")).collect());
        self.needles.push(secret[..4].iter().map(|byte| format!("{byte:02x}")).collect());
        self.needles.push(secret[..4].iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
    }

    fn look_at(&mut self, thing: &impl Debug) {
        self.haystack += &format!("{thing:?}\n{thing:#?}\n");
    }

    fn finds(&self) -> Option<&String> {
        self.needles.iter().find(|needle| self.haystack.to_lowercase().contains(&needle.to_lowercase()))
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
fn search_finds_a_leaked_secret() {
    let id = SessionId::random().unwrap();
    for leak in [
        id.expose(),
        format!("{:?}", decode(&id.expose())),
        format!("{:02x?}", &decode(&id.expose())[8..]).replace(", ", ""),
    ] {
        let mut search = Search::new(&[id]);
        search.look_at(&leak);
        assert!(search.finds().is_some(), "{leak}");
    }
}

#[test]
fn invariant_10_no_text_shows_the_secret() {
    let time = Clock::manual();
    let options = LembroOptions::new().interval(0).max_size("8K").max_session_size("2K").shards(1).clock(&time);
    let store = LembroStore::with_options(options.clone()).unwrap();
    let events = store.events();
    let sessions = Sessions::new(store.clone());
    let session_events = sessions.events();

    let mut session = stored_session(&sessions);
    let id = session.id().unwrap();
    let renewed = id.renewed(&SessionId::random().unwrap());
    let derived = SessionId::derive("from elsewhere");
    let mut search = Search::new(&[id, renewed, derived]);

    // The types.
    search.look_at(&(id, id.handle(), session.component("cart")));
    search.look_at(&(&sessions, &store, store.stats(), options, Policy::new(), &time, store.clock()));
    let stored = store.get(&id).unwrap().unwrap();
    let lease = Lease { renew_after: Some(Duration::ZERO), grace: Duration::ZERO, ..Lease::new(HOUR) };
    let log_in = |id: &SessionId, new: SessionId| {
        let version = store.get(id).unwrap().unwrap().record.version();
        let login = Login::new(Owner::new("ada").unwrap());
        let mut commit = Commit::merge(version).unwrap().with_identity(Identity::Replace(new)).log_in(login);
        commit.changes.insert("", "theme", "dark").unwrap();
        commit
    };
    let commit = log_in(&id, renewed);
    search.look_at(&(&stored, &commit, &commit.changes, commit.expect(), stored.record.version(), Outcome::Gone));
    search.look_at(&(Action::Commit(&commit), Action::Put(&stored.record, HOUR), lease));
    search.look_at(&commit.changes.keys().collect::<Vec<_>>());
    search.look_at(&Identity::Replace(renewed));
    search.look_at(&store.all().unwrap().map(Result::unwrap).collect::<Vec<_>>());
    search.look_at(&session);

    // What a store would write down.
    search.look_at(&serde_json::to_string(&stored.record).unwrap());
    search.look_at(&stored.record.as_bytes());
    let now = Now::of(&store.clock());
    let create = Commit::create().unwrap();
    let (_, Write::Put(row)) = Entry::apply(None, &id, &Action::Commit(&create), &lease, now, None).unwrap() else {
        panic!("a session was created")
    };
    search.look_at(&(&row, row.to_bytes()));

    // Errors, with everything below them.
    let large: Record = [("key", "x".repeat(4_000))].into_iter().collect();
    let text = id.expose();
    let errors = [
        store.set(&id, large.clone(), HOUR).unwrap_err(),
        store.commit(&id, &log_in(&id, derived), &lease).unwrap_err(),
        store.set(&renewed, Record::new(), HOUR).unwrap_err(),
        sessions.create_session(&id, Record::new()).unwrap_err(),
        sessions.create_session(&derived, large).unwrap_err(),
        session.get::<u32>("user").unwrap_err(),
        text[1..].parse::<SessionId>().unwrap_err(),
        text.replace(char::is_alphanumeric, "=").parse::<SessionId>().unwrap_err(),
        text.parse::<Handle>().unwrap_err(),
        lembro::Error::taken(id.handle()),
        lembro::Error::unknown(id.handle()).caused_by(lembro::Error::store("lost")),
        lembro::Error::store("down"),
        lembro::Error::unsupported("that"),
    ];
    for error in &errors {
        search.look_at(&(error, error.to_string(), error.source().map(ToString::to_string)));
    }

    // Events of every kind.
    let outcome = store.commit(&id, &commit, &lease).unwrap();
    assert!(outcome.is_done());
    search.look_at(&outcome);
    search.look_at(&store.visit(&id, &lease).unwrap());
    time.advance(lease.grace);
    search.look_at(&sessions.load(&id).unwrap());
    let version = store.get(&renewed).unwrap().unwrap().record.version();
    let renewal = Commit::merge(version).unwrap().with_identity(Identity::Renew(7));
    let outcome = store.commit(&renewed, &renewal, &lease).unwrap();
    let successor = outcome.receipt().unwrap().announce.expect("a renewal began");
    search.add(successor);
    search.look_at(&(outcome, renewal));
    let found = store.visit(&renewed, &lease).unwrap();
    assert!(matches!(found, Lookup::Found(_)));
    search.look_at(&(found, sessions.load(&renewed).unwrap()));
    assert!(store.get(&derived).unwrap().is_none());
    assert!(sessions.load(&derived).unwrap().is_none());
    for number in 0..200 {
        let id = SessionId::derive(&number.to_string());
        store.set(&id, [("a", 1)].into_iter().collect(), HOUR).unwrap();
    }
    store.set(&derived, Record::new(), HOUR).unwrap();
    assert!(store.destroy(&derived).unwrap().is_done());
    time.advance(HOUR);
    store.purge();
    store.clear().unwrap();
    let seen: Vec<_> = events.try_iter().chain(session_events.try_iter()).collect();
    for kind in ["Expired", "Evicted", "Destroyed", "Cleared", "Purged", "Refused", "UnknownId", "SupersededId"] {
        assert!(seen.iter().any(|event| format!("{event:?}").starts_with(kind)), "no event {kind}");
    }
    search.look_at(&serde_json::to_string(&seen).unwrap());
    search.look_at(&seen);

    assert!(search.haystack.contains(&id.handle().to_string()), "the handle may be seen");
    assert_eq!(search.finds(), None);
}
