//! A comparison with express-session at the end of a request, for every combination of its options,
//! with the reason for each difference.
//!
//! The behaviour of express-session 1.19 was measured. The behaviour of lembro is measured here,
//! through the layer. `src/coming_from.md` shows the same table, and these tests compare it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::support::session::MINUTE;
use crate::support::site::{Site, look};
use lembro::web::{CookieLifetime, CookieOptions, RequestHead};
use lembro::{Saved, Session, Stats, Store};

/// The reasons why lembro differs, as numbered on the page.
const REASONS: [(&str, &str); 6] = [
    ("New, unchanged", "Every crawler would take memory and get a cookie."),
    ("Existing, unchanged", "Writing back an old copy undoes another request's work; a touch leaves the data alone."),
    (
        "A cookie with every response",
        "It says nothing new: one in touch_after is enough, and none for a browser session.",
    ),
    ("Changed", "A save merges the changed keys, and brings no session back."),
    (
        "A cookie after a change only",
        "A persistent cookie must not end before a session that is only read, nor be \
        written at every change.",
    ),
    ("Touch", "Once per touch_after keeps a session in use alive and saves the other writes."),
];

/// `saveUninitialized`, `resave`, `rolling`, and the effect on a session that is new and unchanged,
/// new and changed, existing and unchanged, existing and changed. `C`: a cookie is sent. `m`: a
/// cookie is sent if `maxAge` is set. After each effect, the reasons why lembro differs.
type Row = ([bool; 3], [(&'static str, &'static [usize]); 4]);

#[rustfmt::skip]
const EXPRESS_SESSION: [Row; 8] = [
    ([true, true, true],    [("set C", &[1]), ("set C", &[]), ("set C", &[2, 3]),   ("set C", &[4, 3])]),
    ([true, true, false],   [("set C", &[1]), ("set C", &[]), ("set", &[2, 5]),     ("set, m", &[4, 5])]),
    ([true, false, true],   [("set C", &[1]), ("set C", &[]), ("touch C", &[6, 3]), ("set C", &[4, 3])]),
    ([true, false, false],  [("set C", &[1]), ("set C", &[]), ("touch", &[6, 5]),   ("set, m", &[4, 5])]),
    ([false, true, true],   [("nothing", &[]), ("set C", &[]), ("set C", &[2, 3]),   ("set C", &[4, 3])]),
    ([false, true, false],  [("nothing", &[]), ("set C", &[]), ("set", &[2, 5]),     ("set, m", &[4, 5])]),
    ([false, false, true],  [("nothing", &[]), ("set C", &[]), ("touch C", &[6, 3]), ("set C", &[4, 3])]),
    ([false, false, false], [("nothing", &[]), ("set C", &[]), ("touch", &[6, 5]),   ("set, m", &[4, 5])]),
];

/// The four cases, each with both kinds of cookie, before and after `touch_after`.
#[rustfmt::skip]
const LEMBRO: [(Case, Moment, &str); 16] = [
    (Case { existing: false, changed: false }, Moment { persistent: false, due: false }, "nothing"),
    (Case { existing: false, changed: false }, Moment { persistent: false, due: true },  "nothing"),
    (Case { existing: false, changed: false }, Moment { persistent: true,  due: false }, "nothing"),
    (Case { existing: false, changed: false }, Moment { persistent: true,  due: true },  "nothing"),
    (Case { existing: false, changed: true },  Moment { persistent: false, due: false }, "create C"),
    (Case { existing: false, changed: true },  Moment { persistent: false, due: true },  "create C"),
    (Case { existing: false, changed: true },  Moment { persistent: true,  due: false }, "create C"),
    (Case { existing: false, changed: true },  Moment { persistent: true,  due: true },  "create C"),
    (Case { existing: true,  changed: false }, Moment { persistent: false, due: false }, "nothing"),
    (Case { existing: true,  changed: false }, Moment { persistent: false, due: true },  "touch"),
    (Case { existing: true,  changed: false }, Moment { persistent: true,  due: false }, "nothing"),
    (Case { existing: true,  changed: false }, Moment { persistent: true,  due: true },  "touch C"),
    (Case { existing: true,  changed: true },  Moment { persistent: false, due: false }, "save"),
    (Case { existing: true,  changed: true },  Moment { persistent: false, due: true },  "save, touch"),
    (Case { existing: true,  changed: true },  Moment { persistent: true,  due: false }, "save"),
    (Case { existing: true,  changed: true },  Moment { persistent: true,  due: true },  "save, touch C"),
];

#[derive(Clone, Copy, Debug)]
struct Case {
    existing: bool,
    changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    persistent: bool,
    due: bool,
}

/// The effect on the store and on the client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Effect {
    store: String,
    cookie: bool,
}

impl Effect {
    fn read(text: &str, max_age: bool) -> Self {
        let (store, cookie) = match (text.strip_suffix(" C"), text.strip_suffix(", m")) {
            (Some(store), _) => (store, true),
            (None, Some(store)) => (store, max_age),
            (None, None) => (text, false),
        };
        Self { store: store.to_owned(), cookie }
    }
}

/// Runs one request and returns its effect.
fn lembro(case: Case, moment: Moment) -> Effect {
    let lifetime = if moment.persistent { CookieLifetime::Persistent } else { CookieLifetime::BrowserSession };
    let site = Site::new(CookieOptions::new().lifetime(lifetime));
    let cookie = if case.existing { site.log_in() } else { String::new() };
    if moment.due {
        site.time.advance(MINUTE);
    }
    let before = site.store.stats();
    let finished = site.visit(&cookie, |session| {
        look(session);
        if case.changed {
            session.insert("theme", "dark").unwrap();
        }
    });
    Effect { store: written(&before, &site.store.stats()), cookie: finished.cookie().is_some() }
}

/// The kinds of writes to a store, each made once.
fn written(before: &Stats, after: &Stats) -> String {
    let counts = [
        ("create", after.created - before.created),
        ("save", after.saved - before.saved),
        ("touch", after.touched - before.touched),
        ("destroy", after.destroyed - before.destroyed),
    ];
    let happened: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    assert!(happened.iter().all(|(_, count)| *count == 1), "{happened:?}");
    let words: Vec<_> = happened.into_iter().map(|(word, _)| word).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

#[test]
fn lembro_follows_its_own_table() {
    for (case, moment, expected) in LEMBRO {
        assert_eq!(lembro(case, moment), Effect::read(expected, false), "{case:?}, {moment:?}");
    }
}

#[test]
fn each_difference_has_its_reason() {
    let mut compared = 0;
    for (options, cells) in EXPRESS_SESSION {
        for (column, (there, reasons)) in cells.into_iter().enumerate() {
            let case = Case { existing: column >= 2, changed: column % 2 == 1 };
            // The reasons that this cell needs over all moments. The table must give exactly these.
            let mut needed = BTreeSet::new();
            for (persistent, due) in [(false, false), (false, true), (true, false), (true, true)] {
                let (theirs, ours) = (Effect::read(there, persistent), lembro(case, Moment { persistent, due }));
                // Both write a new session whole.
                let same =
                    theirs.store == ours.store || (theirs.store.as_str(), ours.store.as_str()) == ("set", "create");
                let reason = |wanted: [usize; 2]| {
                    let given = reasons.iter().find(|reason| wanted.contains(reason) || **reason == 1);
                    *given.unwrap_or_else(|| {
                        panic!("{options:?}, {case:?}: {theirs:?} there, {ours:?} here, and no reason")
                    })
                };
                if !same {
                    needed.insert(reason(if case.changed { [4, 4] } else { [2, 6] }));
                }
                if theirs.cookie != ours.cookie {
                    needed.insert(reason([3, 5]));
                }
                compared += 1;
            }
            let given: BTreeSet<_> = reasons.iter().copied().collect();
            assert_eq!(needed, given, "{options:?}, {case:?}: the reasons needed, and those given");
        }
    }
    assert_eq!(compared, 8 * 4 * 4);
}

/// The effect of a special action, there and here, for a new session and for an existing one. It
/// was measured there with `saveUninitialized` and `resave` off, and here with an empty new session
/// and an existing one whose touch is due.
struct SpecialAction {
    /// The name on the page.
    name: &'static str,
    there: [&'static str; 2],
    here: [&'static str; 2],
    act: fn(&mut Session),
    /// Empty if there is no difference.
    reason: &'static str,
}

#[rustfmt::skip]
fn specials() -> [SpecialAction; 8] {
    [
        SpecialAction {
            name: "`session = null`, `unset: 'keep'`",
            there: ["nothing", "nothing"], here: ["nothing", "touch"],
            act: |session| assert!(session.reload().unwrap()),
            reason: "A visit is a visit, also when its changes are dropped.",
        },
        SpecialAction {
            name: "`session = null`, `unset: 'destroy'`",
            there: ["destroy", "destroy"], here: ["nothing", "touch, destroy, removed"],
            act: |session| session.log_out().unwrap(),
            reason: "A new session is not in the store; the client of an existing one is told to forget its cookie.",
        },
        SpecialAction {
            name: "`destroy()`",
            there: ["destroy", "destroy"], here: ["nothing", "touch, destroy, removed"],
            act: |session| session.log_out().unwrap(),
            reason: "The same.",
        },
        SpecialAction {
            name: "change, then `destroy()`",
            there: ["destroy", "destroy"], here: ["nothing", "touch, destroy, removed"],
            act: |session| {
                session.insert("theme", "dark").unwrap();
                session.log_out().unwrap();
            },
            reason: "The same.",
        },
        SpecialAction {
            name: "`regenerate()`",
            there: ["destroy, set C", "destroy, set C"], here: ["nothing", "save, touch C"],
            act: |session| session.regenerate().unwrap(),
            reason: "An empty session is not stored; of an existing one only the id changes, in one step.",
        },
        SpecialAction {
            name: "`save()`, new and unchanged",
            there: ["set", "set, touch"], here: ["nothing", "touch"],
            act: |session| {
                look(session);
                assert_eq!(session.save().unwrap(), Saved::Unchanged);
            },
            reason: "A session that holds nothing is not stored, and what did not change is not written.",
        },
        SpecialAction {
            name: "`save()`, existing and unchanged",
            there: ["set", "set, touch"], here: ["nothing", "nothing"],
            act: |session| assert_eq!(session.save().unwrap(), Saved::Unchanged),
            reason: "A save alone is no look, and what did not change is not written.",
        },
        SpecialAction {
            name: "only `session.cookie` changed",
            there: ["nothing", "touch"], here: ["nothing", "save, touch"],
            act: |session| session.set_timeout(5 * MINUTE).unwrap(),
            reason: "A session's own timeout is kept with it.",
        },
    ]
}

#[test]
fn special_actions_follow_their_table() {
    for special in specials() {
        for existing in [false, true] {
            let site = Site::new(CookieOptions::new());
            let cookie = if existing { site.log_in() } else { String::new() };
            site.time.advance(MINUTE);
            let before = site.store.stats();
            let finished = site.visit(&cookie, special.act);
            let mut here = written(&before, &site.store.stats());
            match finished.cookie() {
                None => {}
                Some(removal) if removal.starts_with("id=;") => here += ", removed",
                Some(_) => here += " C",
            }
            assert_eq!(here, special.here[usize::from(existing)], "{}, existing: {existing}", special.name);
        }
        assert_eq!(special.there == special.here, special.reason.is_empty(), "{}", special.name);
    }
}

#[test]
fn special_actions_on_new_sessions_with_data() {
    let site = Site::new(CookieOptions::new());
    let finished = site.visit("", |session| {
        session.insert("cart", &1).unwrap();
        session.regenerate().unwrap();
    });
    assert!(finished.cookie().is_some());
    // A timeout alone does not store a new session. Beside data, it is stored.
    let finished = site.visit("", |session| {
        session.insert("cart", &1).unwrap();
        session.set_timeout(5 * MINUTE).unwrap();
    });
    assert!(finished.cookie().is_some());
    assert_eq!(site.probe.calls.happened(), [("create", 2)]);
    assert_eq!(site.store.len().unwrap(), 2);
}

#[test]
fn unsigned_ids_are_not_looked_up() {
    let keys = CookieOptions::new().keys([[1; 32]]);
    let site = Site::new(keys.clone());
    let signed = site.log_in();
    let (id, signature) = signed.split_once('.').unwrap();
    site.probe.calls.take();
    for cookie in [id, &format!("{id}."), &format!("{id}.{}", "A".repeat(43)), &format!("{id}x.{signature}")] {
        let finished = site.visit(cookie, |session| assert!(session.is_new().unwrap(), "{cookie}"));
        assert_eq!(finished.cookie(), None);
    }
    assert_eq!(site.probe.calls.happened(), []);
    // A valid signature on an id of another store.
    let elsewhere = Site::new(keys);
    let finished = elsewhere.visit(&signed, |session| session.insert("user", "ada").unwrap());
    assert_eq!(elsewhere.probe.calls.happened(), [("visit", 1), ("create", 1)]);
    assert!(!finished.cookie().unwrap().starts_with(&signed), "a new id");
}

#[test]
fn ended_session_is_not_brought_back() {
    let site = Site::new(CookieOptions::new());
    let cookie = site.log_in();
    let finished = site.visit(&cookie, |session| {
        look(session);
        let _ = site.visit(&cookie, |other| other.log_out().unwrap());
        session.insert("theme", "dark").unwrap();
    });
    assert_eq!((finished.saved(), finished.cookie()), (Saved::Gone, None));
    assert_eq!(site.store.len().unwrap(), 0);

    let cookie = site.log_in();
    site.probe.break_down(true);
    assert!(
        site.try_request(RequestHead::new([cookie.as_str()]), |session| assert!(session.id().unwrap_err().is_store()))
            .is_ok(),
        "not loaded"
    );
    site.probe.break_down(false);
    let mut session = site.layer.load(RequestHead::new([cookie.as_str()]));
    session.insert("theme", "dark").unwrap();
    site.probe.break_down(true);
    assert!(site.layer.finish(&mut session).unwrap_err().is_store());
}

const PAGE: &str = include_str!("../../../src/coming_from.md");

/// The cells of a table row.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn page_shows_the_same_table() {
    for (options, table) in EXPRESS_SESSION {
        let start = options.iter().fold(String::from("|"), |mut start, option| {
            write!(start, " {option} |").unwrap();
            start
        });
        let line = PAGE.lines().find(|line| line.starts_with(&start)).expect("a row for every combination");
        let shown = cells(line);
        assert_eq!(shown[3..7], table.map(|(there, _)| there), "{line}");
        let reasons: BTreeSet<usize> = table.iter().flat_map(|(_, reasons)| reasons.iter().copied()).collect();
        let numbers: BTreeSet<usize> = shown[7].split(", ").map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, reasons, "{line}");
    }
    for (number, (title, sentence)) in REASONS.into_iter().enumerate() {
        let item = format!("\n{}. *{title}*: ", number + 1);
        assert!(PAGE.contains(&item), "the page does not explain {item:?}");
        assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "one sentence: {sentence}");
    }
    let ours = PAGE.lines().find(|line| line.starts_with("| **lembro**")).unwrap();
    let expected = ["**nothing**", "**create C**", "**touch and C, if due**", "**save, touch and C if due**"];
    assert_eq!(cells(ours)[3..7], expected);
}

#[test]
fn page_shows_every_special_action() {
    for special in specials() {
        let start = format!("| {} |", special.name);
        let line = PAGE.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row for {start}"));
        let shown = cells(line);
        assert_eq!(shown.len(), 4, "{line}");
        for (there, cell) in special.there.iter().zip(&shown[1..3]) {
            let plain = cell.replace("**", "").replace(", no cookie", "");
            assert!(plain.is_empty() || plain == *there, "{line}: {there:?} was measured");
        }
    }
}
