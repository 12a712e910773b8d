//! Histories: the steps of browsers, of the application, and of time.

use std::time::Duration;

use lembro::AtLimit;
use proptest::prelude::*;

pub(crate) const BROWSERS: usize = 3;
pub(crate) const OWNERS: [&str; 3] = ["ada", "grace", "edith"];
/// The keys that plain inserts use.
pub(crate) const OWN: [&str; 3] = ["color", "page", "cart"];
pub(crate) const COUNTER: &str = "counter";
pub(crate) const TOKEN: &str = "token";

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) renews: bool,
    pub(crate) touch_after: Duration,
    pub(crate) limit: Option<(usize, AtLimit)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A browser sends a request with the cookies that it has.
    Send(usize),
    /// The same, by a page that polls.
    Poll(usize),
    /// Two requests at once that do the same: a double click, or two tabs.
    Twice(usize, Act),
    /// The handler of a request that is under way.
    Handle(usize, Act),
    /// The request ends; its response is under way.
    Finish(usize),
    /// The handler fails or panics; its response is under way.
    Fail(usize),
    Deliver(usize),
    Lose(usize),
    /// A request from its beginning to the arrival of its response.
    Visit(usize, Act),
    /// A request opens a socket.
    Fork(usize),
    Socket(usize, SocketAct),
    Close(usize),
    /// Another device or an administrator logs an owner out everywhere.
    LogOutEverywhere(usize),
    /// The browser gets an earlier cookie for another path.
    Stray(usize, usize),
    /// The user comes back when a renewal is due.
    Return(usize),
    Pass(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Look,
    Insert(usize),
    Count,
    /// Inserts a token that works once.
    Issue,
    Consume,
    LogIn {
        owner: usize,
        /// The login began when the request arrived.
        since: bool,
        remember: Option<bool>,
    },
    LogOut,
    LogOutOthers,
    Regenerate,
    Save,
    Touch,
}

#[derive(Clone, Debug)]
pub(crate) enum SocketAct {
    Reload,
    Insert(usize),
    Count,
    Consume,
    Save,
    Touch,
    LogIn,
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let limit = prop_oneof![
        2 => Just(None),
        1 => Just(Some((1, AtLimit::EndOldest))),
        1 => Just(Some((2, AtLimit::EndOldest))),
        1 => Just(Some((1, AtLimit::RefuseNewest))),
    ];
    let touch_after = prop_oneof![Just(0), Just(60)].prop_map(Duration::from_secs);
    let setting = (any::<bool>(), touch_after, limit);
    let setting = setting.prop_map(|(renews, touch_after, limit)| Setting { renews, touch_after, limit });
    (setting, prop::collection::vec(step(), 1..100)).prop_map(|(setting, steps)| History { setting, steps })
}

fn step() -> impl Strategy<Value = Step> {
    // Most steps are in one browser, so that they interact.
    let browser = || prop_oneof![2 => Just(0), 1 => 0..BROWSERS];
    let (any, owner) = (any::<usize>, || 0..OWNERS.len());
    prop_oneof![
        10 => browser().prop_map(Step::Send),
        2 => browser().prop_map(Step::Poll),
        4 => (browser(), act()).prop_map(|(browser, act)| Step::Twice(browser, act)),
        20 => (any(), act()).prop_map(|(request, act)| Step::Handle(request, act)),
        9 => any().prop_map(Step::Finish),
        2 => any().prop_map(Step::Fail),
        9 => any().prop_map(Step::Deliver),
        2 => any().prop_map(Step::Lose),
        8 => (browser(), act()).prop_map(|(browser, act)| Step::Visit(browser, act)),
        3 => any().prop_map(Step::Fork),
        5 => (any(), socket_act()).prop_map(|(socket, act)| Step::Socket(socket, act)),
        1 => any().prop_map(Step::Close),
        1 => owner().prop_map(Step::LogOutEverywhere),
        2 => (browser(), any()).prop_map(|(browser, which)| Step::Stray(browser, which)),
        4 => browser().prop_map(Step::Return),
        9 => time().prop_map(Step::Pass),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let remember = prop_oneof![3 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let login = (0..OWNERS.len(), any::<bool>(), remember);
    prop_oneof![
        4 => Just(Act::Look),
        4 => (0..OWN.len()).prop_map(Act::Insert),
        3 => Just(Act::Count),
        4 => Just(Act::Issue),
        5 => Just(Act::Consume),
        5 => login.prop_map(|(owner, since, remember)| Act::LogIn { owner, since, remember }),
        2 => Just(Act::LogOut),
        1 => Just(Act::LogOutOthers),
        1 => Just(Act::Regenerate),
        2 => Just(Act::Save),
        1 => Just(Act::Touch),
    ]
}

fn socket_act() -> impl Strategy<Value = SocketAct> {
    prop_oneof![
        3 => Just(SocketAct::Reload),
        3 => (0..OWN.len()).prop_map(SocketAct::Insert),
        2 => Just(SocketAct::Count),
        1 => Just(SocketAct::Consume),
        2 => Just(SocketAct::Save),
        1 => Just(SocketAct::Touch),
        1 => Just(SocketAct::LogIn),
    ]
}

fn time() -> impl Strategy<Value = Duration> {
    let seconds = prop_oneof![
        4 => 1..61_u64,
        4 => (1..16_u64).prop_map(|minutes| minutes * 60),
        2 => (16..31_u64).prop_map(|minutes| minutes * 60),
        1 => (1..5_u64).prop_map(|hours| hours * 60 * 60),
    ];
    seconds.prop_map(Duration::from_secs)
}
