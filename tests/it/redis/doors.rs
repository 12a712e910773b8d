//! Promise: on Redis, too, a text that is too long, or empty where it must not be, is refused at
//! the door: it is not sent, the server's data stays as it is, and it costs no more memory than a
//! few times its own size. `tests/it/input/limits.rs` walks the same doors in memory.

use allocation_counter::measure;
use lembro::{Error, Session, Sessions};
use redis::Connection;

use crate::redis::behind::{everything, store};
use crate::redis::server::Server;
use crate::support::doors::{Door, FINDING_NOTHING, MIB, REFUSED_IF_EMPTY, REFUSING};

/// Of a door's own requests, and of what a mebibyte would take.
const LITTLE: u64 = MIB as u64 / 8;

struct Visit {
    result: Result<bool, Error>,
    allocated: u64,
    sent: u64,
    /// The session has changes to save.
    is_changed: bool,
    /// The data on the server is as before.
    is_same: bool,
}

fn received(link: &mut Connection) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query(link).unwrap();
    let bytes = info.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:"));
    bytes.unwrap().parse().unwrap()
}

/// Goes through the door with a stored session of its own.
fn visit(sessions: &Sessions, link: &mut Connection, enter: Door, text: &str) -> Visit {
    let mut session: Session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    // A connection and the scripts are there.
    assert!(session.contains_key("user").unwrap());
    let (before, sent) = (everything(link), received(link));
    let mut result = None;
    let cost = measure(|| result = Some(enter(sessions, &mut session, text)));
    let sent = received(link) - sent;
    let is_same = everything(link) == before;
    Visit { result: result.unwrap(), allocated: cost.bytes_max, sent, is_changed: session.changed(), is_same }
}

#[test]
fn a_text_of_a_mebibyte_is_refused_at_every_door_and_never_sent() {
    let server = Server::start();
    let (sessions, link, long) = (Sessions::new(store(&server)), &mut server.connect(), "x".repeat(MIB));
    for (door, enter) in REFUSING.iter().chain(&FINDING_NOTHING) {
        let visit = visit(&sessions, link, *enter, &long);
        if REFUSING.iter().any(|(refusing, _)| refusing == door) {
            let error = visit.result.expect_err(door);
            assert!(error.is_size() || error.is_id(), "{door}: {error}");
            assert!(error.to_string().len() < 200, "{door}: {error:.300}");
        } else {
            assert!(!visit.result.expect(door), "{door}");
        }
        assert!(visit.allocated < LITTLE && visit.sent < LITTLE, "{door}: {}, {}", visit.allocated, visit.sent);
        assert!(!visit.is_changed && visit.is_same, "{door}");
    }
}

#[test]
fn an_empty_text_is_refused_where_it_means_nothing_and_a_key_like_any_other_elsewhere() {
    let server = Server::start();
    let (sessions, link) = (Sessions::new(store(&server)), &mut server.connect());
    for (door, enter) in REFUSING {
        let visit = visit(&sessions, link, enter, "");
        assert_eq!(visit.result.is_err(), REFUSED_IF_EMPTY.contains(&door), "{door}");
        assert!(visit.is_same || door == "modify", "{door}");
    }
    for (door, enter) in FINDING_NOTHING {
        let visit = visit(&sessions, link, enter, "");
        assert!(!visit.result.expect(door) && visit.is_same, "{door}");
    }
}
