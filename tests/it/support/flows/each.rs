//! The flows of browsers, from a first visit to a logout. Before `arm` no call fails.

use std::time::Duration;

use lembro::{AtLimit, Policy, Result};

use super::world::{Browser, Response, Visit, World, handle_of};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Flow {
    pub(crate) name: &'static str,
    pub(crate) policy: fn(Policy) -> Policy,
    /// Leaves the browser that goes on.
    pub(crate) run: fn(&World, &mut Browser),
    /// The user of that browser.
    pub(crate) user: &'static str,
    /// After the logout, no cookie that the browser ever had opens a session. This does not hold
    /// for a browser with two sessions, because the logout ends only those that it presents.
    pub(crate) is_strict: bool,
    /// The promises also hold with two faults. They do not hold for a user's only login: if its
    /// answer is lost, and the answer of the next look too, the session exists and its client does
    /// not know its id.
    pub(crate) stands_two: bool,
}

/// Timed renewals, and limits for remembered sessions.
pub(crate) fn policy() -> Policy {
    Policy::new().renew_after(15 * MINUTE).remember(14 * DAY, 90 * DAY)
}

const fn flow(name: &'static str, run: fn(&World, &mut Browser)) -> Flow {
    Flow { name, policy: |policy| policy, run, user: "ada", is_strict: true, stands_two: true }
}

pub(crate) fn flows() -> Vec<Flow> {
    vec![
        flow("first visit", first_visit),
        flow("first save", first_save),
        flow("first visit that logs in", first_login),
        flow("login", |world, browser| login(world, browser, None)),
        flow("login, an early save, and an error", |world, browser| login(world, browser, Some(Failure::Error))),
        flow("login, an early save, and a panic", |world, browser| login(world, browser, Some(Failure::Panic))),
        flow("login, and the response is lost", login_lost),
        Flow { user: "grace", ..flow("login over another user's session", |w, b| login_over(w, b, false)) },
        Flow { user: "grace", ..flow("login over another user's session, early", |w, b| login_over(w, b, true)) },
        flow("login over the same user's session", login_twice),
        Flow {
            is_strict: false,
            ..flow("double click, one after the other, both arrive", |w, b| double(w, b, false, "ab"))
        },
        Flow {
            is_strict: false,
            ..flow("double click, one after the other, overtaking", |w, b| double(w, b, false, "ba"))
        },
        Flow {
            is_strict: false,
            ..flow("double click, one after the other, first lost", |w, b| double(w, b, false, "b"))
        },
        Flow {
            is_strict: false,
            ..flow("double click, one after the other, second lost", |w, b| double(w, b, false, "a"))
        },
        Flow { is_strict: false, ..flow("double click, at once, both arrive", |w, b| double(w, b, true, "ab")) },
        Flow { is_strict: false, ..flow("double click, at once, overtaking", |w, b| double(w, b, true, "ba")) },
        Flow { is_strict: false, ..flow("double click, at once, first lost", |w, b| double(w, b, true, "b")) },
        Flow { is_strict: false, ..flow("double click, at once, second lost", |w, b| double(w, b, true, "a")) },
        flow("logout", logout),
        flow("logout with two cookies", logout_of_two),
        flow("logout beside a save", logout_beside),
        flow("logout everywhere", everywhere),
        flow("logout everywhere else", everywhere_else),
        flow("login that ends all others", login_alone),
        flow("timed renewal", |world, browser| renewal(world, browser, "", false)),
        flow("timed renewal, announcement lost", |world, browser| renewal(world, browser, "announcement", false)),
        flow("timed renewal, confirmation lost", |world, browser| renewal(world, browser, "confirmation", false)),
        flow("timed renewal, both lost", |world, browser| renewal(world, browser, "announcement confirmation", false)),
        flow("timed renewal without changes", |world, browser| renewal(world, browser, "", true)),
        flow("timed renewal without changes, announcement lost", |world, browser| {
            renewal(world, browser, "announcement", true);
        }),
        flow("timed renewal of parallel requests", renewal_at_once),
        Flow { user: "grace", ..flow("timed renewal and a login at once", renewal_and_login) },
        flow("timed renewal and a handler that fails", renewal_and_error),
        Flow { policy: |policy| policy.max_per_owner(2), ..flow("limit: the oldest ends", limit_oldest) },
        Flow {
            policy: |policy| policy.max_per_owner(2).at_limit(AtLimit::RefuseNewest),
            ..flow("limit: the newest is refused", limit_newest)
        },
        Flow {
            policy: |policy| policy.max_per_owner(1).at_limit(AtLimit::RefuseNewest),
            stands_two: false,
            ..flow("limit: one, and it is there", |world, browser| limit_one(world, browser, false))
        },
        Flow {
            policy: |policy| policy.max_per_owner(1).at_limit(AtLimit::RefuseNewest),
            stands_two: false,
            ..flow("limit: one, at the first visit", |world, browser| limit_one(world, browser, true))
        },
        flow("modify", modify),
        flow("modify, and go on after an error", modify_stubborn),
        flow("modify beside another", modify_beside),
        flow("modify as the first visit", modify_first),
        flow("consume", consume),
        flow("polling", polling),
        flow("long request", |world, browser| long(world, browser, false)),
        flow("long request that touches", |world, browser| long(world, browser, true)),
        flow("long request that logs in", long_login),
        flow("panic", |world, browser| broken(world, browser, Failure::Panic)),
        flow("error", |world, browser| broken(world, browser, Failure::Error)),
        flow("early save and an error", |world, browser| saved_and_broken(world, browser, Failure::Error)),
        flow("early save and a panic", |world, browser| saved_and_broken(world, browser, Failure::Panic)),
        flow("early save as the first visit, and an error", first_saved_and_broken),
        flow("two saves", |world, browser| two_saves(world, browser, false)),
        flow("two saves, and on after errors", |world, browser| two_saves(world, browser, true)),
        flow("two saves as the first visit, and on after errors", two_first_saves),
        flow("login, two saves, and on after errors", login_stubborn),
        flow("remember me", remember),
        Flow { is_strict: false, ..flow("attach", |world, browser| attach(world, browser, None)) },
        Flow {
            is_strict: false,
            ..flow("attach and an error", |world, browser| attach(world, browser, Some(Failure::Error)))
        },
        flow("attach as the first visit", attach_first),
    ]
}

#[derive(Clone, Copy)]
enum Failure {
    Error,
    Panic,
}

impl Failure {
    fn now(self, visit: &Visit<'_>) -> Result<()> {
        match self {
            Self::Error => visit.break_off(),
            Self::Panic => visit.panic(),
        }
    }
}

/// A browser with an anonymous session.
fn visitor(world: &World) -> Browser {
    let mut browser = Browser::default();
    world.visit(&mut browser, |visit| visit.put("anon.before"));
    browser
}

/// Gives the browser an anonymous session, and lets calls fail from then on.
fn begin_anonymous(world: &World, browser: &mut Browser) {
    *browser = visitor(world);
    world.arm();
}

/// A browser in which a user is logged in.
fn user(world: &World, owner: &str, key: &str) -> Browser {
    let mut browser = Browser::default();
    world.visit(&mut browser, |visit| log_in(visit, owner, key));
    browser
}

fn log_in(visit: &mut Visit<'_>, owner: &str, key: &str) -> Result<()> {
    visit.log_in(owner)?;
    visit.put(key)
}

fn first_visit(world: &World, browser: &mut Browser) {
    world.arm();
    world.visit(browser, |_| Ok(()));
    world.visit(browser, |visit| visit.put("anon.1"));
}

fn first_save(world: &World, browser: &mut Browser) {
    world.arm();
    world.visit(browser, |visit| visit.put("anon.1"));
    world.visit(browser, |visit| visit.put("anon.2"));
    world.visit(browser, |_| Ok(()));
}

fn first_login(world: &World, browser: &mut Browser) {
    world.arm();
    world.visit(browser, |visit| log_in(visit, "ada", "ada.1"));
    world.visit(browser, |visit| visit.put("anon.2"));
}

fn login(world: &World, browser: &mut Browser, end: Option<Failure>) {
    begin_anonymous(world, browser);
    world.visit(browser, |visit| {
        log_in(visit, "ada", "ada.1")?;
        let Some(end) = end else { return Ok(()) };
        visit.save()?;
        visit.put("anon.unsaved")?;
        end.now(visit)
    });
    world.visit(browser, |visit| visit.put("anon.2"));
}

fn login_lost(world: &World, browser: &mut Browser) {
    begin_anonymous(world, browser);
    let response = world.request(&browser.header(world.now()), |visit| {
        visit.look()?;
        log_in(visit, "ada", "ada.1")
    });
    world.lose(&response);
    world.visit(browser, |visit| visit.put("anon.2"));
    world.visit(browser, |visit| log_in(visit, "ada", "ada.3"));
    world.visit(browser, |_| Ok(()));
}

fn login_over(world: &World, browser: &mut Browser, early: bool) {
    *browser = visitor(world);
    world.visit(browser, |visit| log_in(visit, "ada", "ada.1"));
    world.visit(browser, |visit| visit.put("anon.of-ada"));
    world.arm();
    world.visit(browser, |visit| {
        log_in(visit, "grace", "grace.1")?;
        if early {
            let _stubborn = visit.save();
            visit.put("anon.2")?;
            visit.count()?;
        }
        Ok(())
    });
    world.check_stored();
    world.check_held(browser);
    world.visit(browser, |visit| visit.put("anon.3"));
}

fn login_twice(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    world.arm();
    world.visit(browser, |visit| log_in(visit, "ada", "ada.2"));
    world.visit(browser, |_| Ok(()));
}

/// Two logins with one cookie. `arrive`: the responses that arrive, in this order.
fn double(world: &World, browser: &mut Browser, at_once: bool, arrive: &str) {
    *browser = visitor(world);
    let cookie = browser.header(world.now());
    world.arm();
    let mut second = None;
    let second_request = || world.request(&cookie, |visit| log_in(visit, "ada", "ada.b"));
    let first = world.request(&cookie, |visit| {
        log_in(visit, "ada", "ada.a")?;
        if at_once {
            second = Some(second_request());
        }
        Ok(())
    });
    if !at_once {
        second = Some(second_request());
    }
    let responses = [Some(first), second];
    for (response, name) in responses.iter().zip(["a", "b"]) {
        if let Some(response) = response.as_ref().filter(|_| !arrive.contains(name)) {
            world.lose(response);
        }
    }
    for name in arrive.bytes() {
        if let Some(response) = &responses[usize::from(name - b'a')] {
            world.deliver(browser, response);
        }
    }
    world.visit(browser, |visit| visit.put("anon.2"));
    world.visit(browser, |_| Ok(()));
}

fn logout(world: &World, browser: &mut Browser) {
    *browser = visitor(world);
    world.visit(browser, |visit| log_in(visit, "ada", "ada.1"));
    world.arm();
    let mut is_out = false;
    world.visit(browser, |visit| {
        visit.put("anon.unsaved")?;
        visit.log_out()?;
        is_out = true;
        Ok(())
    });
    if is_out {
        world.disarm();
        world.check_closed(browser);
    }
    world.visit(browser, |_| Ok(()));
}

fn logout_of_two(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    let other = user(world, "ada", "ada.2");
    browser.other = Some(other.header(world.now()));
    world.arm();
    let mut is_out = false;
    world.visit(browser, |visit| {
        visit.log_out()?;
        is_out = true;
        Ok(())
    });
    if is_out {
        world.disarm();
        world.check_closed(browser);
    }
    world.may_have_ended(&other);
}

fn logout_beside(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    let cookie = browser.header(world.now());
    world.arm();
    let mut logout = None;
    let beside = world.request(&cookie, |visit| {
        visit.look()?;
        logout = Some(world.request(&cookie, |visit| {
            visit.look()?;
            visit.log_out()
        }));
        visit.put("anon.beside")
    });
    logout.into_iter().for_each(|logout| world.deliver(browser, &logout));
    world.deliver(browser, &beside);
    world.visit(browser, |_| Ok(()));
}

fn everywhere(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    let mut phone = user(world, "ada", "ada.2");
    let handles: Vec<_> = [&*browser, &phone].map(|one| handle_of(&one.header(world.now())).unwrap()).to_vec();
    world.arm();
    let mut is_out = false;
    world.visit(browser, |visit| {
        visit.destroy_all("ada", &handles)?;
        is_out = true;
        visit.put("anon.after")
    });
    if is_out {
        world.disarm();
        world.check_closed(browser);
        world.check_closed(&phone);
    }
    world.visit(&mut phone, |_| Ok(()));
}

fn everywhere_else(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    let phone = user(world, "ada", "ada.2");
    world.arm();
    let mut is_out = false;
    world.visit(browser, |visit| {
        visit.put("anon.password")?;
        world.may_have_ended(&phone);
        visit.destroy_others()?;
        is_out = true;
        visit.put("anon.after")
    });
    world.visit(browser, |_| Ok(()));
    if is_out {
        world.disarm();
        world.check_closed(&phone);
    }
}

fn login_alone(world: &World, browser: &mut Browser) {
    let phone = user(world, "ada", "ada.2");
    begin_anonymous(world, browser);
    let mut is_out = false;
    world.visit(browser, |visit| {
        log_in(visit, "ada", "ada.1")?;
        world.may_have_ended(&phone);
        visit.destroy_others()?;
        is_out = true;
        Ok(())
    });
    world.visit(browser, |visit| visit.put("anon.2"));
    if is_out {
        world.disarm();
        world.check_closed(&phone);
    }
}

/// An id that is announced, presented and confirmed. `lost`: responses that do not arrive.
fn renewal(world: &World, browser: &mut Browser, lost: &str, is_quiet: bool) {
    *browser = user(world, "ada", "ada.1");
    world.advance(16 * MINUTE);
    world.arm();
    let mut step = |key: &str, name: &str| {
        let response = world.request(&browser.header(world.now()), |visit| {
            visit.look()?;
            if is_quiet { Ok(()) } else { visit.put(key) }
        });
        if !lost.contains(name) {
            world.deliver(browser, &response);
        }
        world.advance(MINUTE / 2);
    };
    step("anon.announced", "announcement");
    step("anon.confirmed", "confirmation");
    step("anon.again", "no response");
    step("anon.once-more", "no response");
    world.advance(2 * MINUTE);
    step("anon.after-grace", "no response");
    // The old id has ended, whether the new one was confirmed or not.
    world.advance(20 * MINUTE);
    step("anon.after-age", "no response");
}

fn renewal_at_once(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    world.advance(16 * MINUTE);
    let cookie = browser.header(world.now());
    world.arm();
    let mut others = Vec::new();
    let first = world.request(&cookie, |visit| {
        visit.look()?;
        for key in ["anon.b", "anon.c"] {
            others.push(world.request(&cookie, |visit| {
                visit.look()?;
                visit.put(key)
            }));
        }
        visit.put("anon.a")
    });
    let mut others = others.into_iter();
    // Of three responses the first arrives last, and the confirmation overtakes it.
    others.next().into_iter().for_each(|second| world.deliver(browser, &second));
    world.visit(browser, |visit| visit.put("anon.d"));
    let late = world.request(&cookie, |visit| visit.put("anon.late"));
    others.chain([first, late]).for_each(|response| world.deliver(browser, &response));
    world.advance(2 * MINUTE);
    world.visit(browser, |visit| visit.put("anon.e"));
}

fn renewal_and_login(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    world.advance(16 * MINUTE);
    let cookie = browser.header(world.now());
    world.arm();
    let mut renewed = None;
    let login = world.request(&cookie, |visit| {
        visit.look()?;
        renewed = Some(world.request(&cookie, |visit| visit.put("anon.2")));
        log_in(visit, "grace", "grace.1")
    });
    renewed.into_iter().for_each(|renewed| world.deliver(browser, &renewed));
    world.deliver(browser, &login);
    world.visit(browser, |visit| visit.put("anon.3"));
}

fn renewal_and_error(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    world.advance(16 * MINUTE);
    world.visit(&mut browser.clone(), |_| Ok(()));
    world.arm();
    world.visit(browser, |visit| {
        visit.put("anon.unsaved")?;
        visit.break_off()
    });
    world.advance(MINUTE / 2);
    world.visit(browser, |visit| visit.put("anon.2"));
}

fn limit_oldest(world: &World, browser: &mut Browser) {
    let phone = user(world, "ada", "ada.phone");
    world.advance(MINUTE);
    let mut tablet = user(world, "ada", "ada.tablet");
    world.advance(MINUTE);
    begin_anonymous(world, browser);
    world.may_have_ended(&phone);
    world.visit(browser, |visit| log_in(visit, "ada", "ada.1"));
    if world.count("ada") > 2 {
        world.complain("more sessions than the limit");
    }
    world.visit(&mut tablet, |visit| visit.put("anon.tablet"));
    world.visit(browser, |_| Ok(()));
    world.disarm();
    // A login that is repeated after a lost answer may end another login.
    world.may_have_ended(&tablet);
}

fn limit_newest(world: &World, browser: &mut Browser) {
    let mut phone = user(world, "ada", "ada.phone");
    let mut tablet = user(world, "ada", "ada.tablet");
    begin_anonymous(world, browser);
    world.visit(browser, |visit| log_in(visit, "ada", "ada.refused"));
    if world.count("ada") != 2 {
        world.complain("the login was refused, and something happened");
    }
    world.visit(browser, |visit| visit.put("anon.1"));
    world.visit(&mut phone, |visit| visit.put("anon.phone"));
    world.log_out(&mut phone);
    world.visit(browser, |visit| log_in(visit, "ada", "ada.2"));
    world.disarm();
    world.log_out(&mut phone);
    world.log_out(&mut tablet);
}

/// The response of the login to the user's only session may be lost.
fn limit_one(world: &World, browser: &mut Browser, at_first_visit: bool) {
    if !at_first_visit {
        *browser = visitor(world);
    }
    world.arm();
    world.visit(browser, |visit| log_in(visit, "ada", "ada.1"));
}

fn check_count(world: &World, browser: &mut Browser, told: std::ops::RangeInclusive<u64>) {
    world.disarm();
    world.visit(browser, |visit| {
        let counted = visit.counted()?;
        if !told.contains(&counted) {
            world.complain(format!("(c) counted {told:?} times, and {counted} is stored"));
        }
        Ok(())
    });
}

/// The least and the greatest count that a client can find.
#[derive(Default)]
struct Told {
    least: u64,
    most: u64,
}

impl Told {
    fn count(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let counted = visit.count();
        match &counted {
            Ok(()) if visit.is_without() => {}
            Ok(()) => (self.least, self.most) = (self.least + 1, self.most + 1),
            Err(error) if error.is_unknown() => self.most += 1,
            Err(_) => {}
        }
        counted
    }

    fn range(&self) -> std::ops::RangeInclusive<u64> {
        self.least..=self.most
    }
}

fn modify(world: &World, browser: &mut Browser) {
    let mut told = Told::default();
    begin_anonymous(world, browser);
    for key in ["anon.1", "anon.2"] {
        world.visit(browser, |visit| {
            visit.put(key)?;
            told.count(visit)?;
            told.count(visit)
        });
    }
    check_count(world, browser, told.range());
}

fn modify_stubborn(world: &World, browser: &mut Browser) {
    let mut told = Told::default();
    begin_anonymous(world, browser);
    world.visit(browser, |visit| {
        visit.put("anon.1")?;
        for _ in 0..3 {
            let _stubborn = told.count(visit);
        }
        visit.put("anon.2")
    });
    check_count(world, browser, told.range());
}

fn modify_beside(world: &World, browser: &mut Browser) {
    let (mut told, mut beside) = (Told::default(), Told::default());
    *browser = visitor(world);
    let cookie = browser.header(world.now());
    world.arm();
    world.visit(browser, |visit| {
        let _stubborn = told.count(visit);
        let _ = world.request(&cookie, |visit| beside.count(visit));
        let _ = world.request(&cookie, |visit| visit.put("anon.beside"));
        let _stubborn = told.count(visit);
        visit.put("anon.1")
    });
    check_count(world, browser, told.least + beside.least..=told.most + beside.most);
}

fn modify_first(world: &World, browser: &mut Browser) {
    let mut told = Told::default();
    world.arm();
    let mut is_told = false;
    world.visit(browser, |visit| {
        visit.put("anon.1")?;
        told.count(visit)?;
        is_told = true;
        Ok(())
    });
    if is_told {
        check_count(world, browser, told.range());
    }
}

fn consume(world: &World, browser: &mut Browser) {
    *browser = visitor(world);
    world.visit(browser, |visit| visit.put("anon.token"));
    let cookie = browser.header(world.now());
    world.arm();
    let mut got = 0;
    world.visit(browser, |visit| {
        let _ = world.request(&cookie, |visit| {
            got += u32::from(visit.consume("anon.token")?);
            Ok(())
        });
        for _ in 0..2 {
            got += u32::from(visit.consume("anon.token").unwrap_or(false));
        }
        visit.put("anon.1")
    });
    world.visit(browser, |visit| {
        got += u32::from(visit.consume("anon.token")?);
        Ok(())
    });
    if got > 1 {
        world.complain(format!("a value that works once was given out {got} times"));
    }
}

fn polling(world: &World, browser: &mut Browser) {
    *browser = user(world, "ada", "ada.1");
    world.arm();
    for minutes in 0..5 {
        let header = browser.header(world.now());
        let response = world.request(&header, |visit| {
            visit.session.peek();
            visit.look()?;
            if minutes == 1 { visit.put("anon.1") } else { Ok(()) }
        });
        world.deliver(browser, &response);
        world.advance(14 * MINUTE);
    }
    // If the insertion was carried out, it prolonged the session.
    world.may_have_ended(browser);
}

fn long(world: &World, browser: &mut Browser, touches: bool) {
    *browser = user(world, "ada", "ada.1");
    world.arm();
    world.visit(browser, |visit| {
        for _ in 0..3 {
            world.advance(45 * MINUTE);
            if touches {
                visit.session.touch()?;
            }
        }
        visit.put("anon.1")
    });
    world.may_have_ended(browser);
    world.visit(browser, |visit| visit.put("anon.2"));
    world.visit(browser, |_| Ok(()));
}

fn long_login(world: &World, browser: &mut Browser) {
    *browser = visitor(world);
    let before = browser.clone();
    world.arm();
    world.visit(browser, |visit| {
        world.ended(&before);
        world.advance(2 * HOUR);
        log_in(visit, "ada", "ada.1")
    });
    world.visit(browser, |visit| visit.put("anon.2"));
}

fn broken(world: &World, browser: &mut Browser, end: Failure) {
    begin_anonymous(world, browser);
    world.visit(browser, |visit| {
        log_in(visit, "ada", "ada.unsaved")?;
        end.now(visit)
    });
    world.visit(browser, |visit| visit.put("anon.1"));
}

fn saved_and_broken(world: &World, browser: &mut Browser, end: Failure) {
    begin_anonymous(world, browser);
    world.visit(browser, |visit| {
        visit.put("anon.1")?;
        visit.save()?;
        visit.put("anon.unsaved")?;
        end.now(visit)
    });
    world.visit(browser, |_| Ok(()));
}

fn first_saved_and_broken(world: &World, browser: &mut Browser) {
    world.arm();
    world.visit(browser, |visit| {
        log_in(visit, "ada", "ada.1")?;
        visit.save()?;
        visit.put("anon.unsaved")?;
        visit.break_off()
    });
    world.visit(browser, |_| Ok(()));
}

fn save_twice(visit: &mut Visit<'_>, is_stubborn: bool) -> Result<()> {
    for key in ["anon.1", "anon.2"] {
        visit.put(key)?;
        let saved = visit.save();
        if !is_stubborn {
            saved?;
        }
    }
    visit.put("anon.3")
}

fn two_saves(world: &World, browser: &mut Browser, is_stubborn: bool) {
    begin_anonymous(world, browser);
    world.visit(browser, |visit| save_twice(visit, is_stubborn));
    world.visit(browser, |_| Ok(()));
}

fn two_first_saves(world: &World, browser: &mut Browser) {
    world.arm();
    world.visit(browser, |visit| save_twice(visit, true));
    world.visit(browser, |_| Ok(()));
}

fn login_stubborn(world: &World, browser: &mut Browser) {
    begin_anonymous(world, browser);
    world.visit(browser, |visit| {
        visit.log_in("ada")?;
        save_twice(visit, true)
    });
    world.visit(browser, |_| Ok(()));
}

fn remember(world: &World, browser: &mut Browser) {
    begin_anonymous(world, browser);
    let is_in = world.visit(browser, |visit| {
        log_in(visit, "ada", "ada.1")?;
        visit.session.remember(true)
    });
    world.visit(browser, |visit| visit.put("anon.1"));
    if is_in {
        for key in ["anon.2", "anon.3", "anon.4"] {
            world.advance(6 * DAY);
            browser.restart();
            world.visit(browser, |visit| visit.put(key));
            world.visit(browser, |_| Ok(()));
        }
    }
}

fn attach(world: &World, browser: &mut Browser, end: Option<Failure>) {
    begin_anonymous(world, browser);
    world.visit(browser, |visit| {
        visit.attach("anon.attached")?;
        visit.put("anon.1")?;
        end.map_or(Ok(()), |end| end.now(visit))
    });
    world.visit(browser, |visit| visit.put("anon.2"));
}

fn attach_first(world: &World, browser: &mut Browser) {
    world.arm();
    let response: Response = world.request("", |visit| {
        visit.attach("anon.attached")?;
        log_in(visit, "ada", "ada.1")
    });
    world.deliver(browser, &response);
    world.visit(browser, |_| Ok(()));
}
