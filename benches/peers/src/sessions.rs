//! The sessions of the comparison: their data, their ids, and the requests for them.

use std::sync::LazyLock;
use std::time::Duration;

use arrayvec::ArrayString;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lembro::SessionId;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde::Serialize;

/// The idle timeout of every session.
pub const HOUR: Duration = Duration::from_secs(3600);

/// The dates in a new session.
pub const AT: u64 = 1_790_000_000;

/// What an application puts into a session: seven keys, 300 bytes of JSON.
#[derive(Clone, Debug)]
pub struct Data {
    /// `user_id`.
    pub user_id: u64,
    /// `csrf`.
    pub csrf: String,
    /// `cart`.
    pub cart: [Item; 2],
    /// `flash`.
    pub flash: &'static str,
    /// `signed_in_at` and `seen_at`.
    pub at: u64,
    /// `locale`.
    pub locale: &'static str,
}

/// An item in the cart.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Item {
    /// The article.
    pub sku: &'static str,
    /// How many of it.
    pub quantity: u32,
}

impl Data {
    /// The session of one user. All have the same length, so stores that are bounded by size hold
    /// equally many.
    pub fn new(number: usize) -> Self {
        Self {
            user_id: 10_000_000 + number as u64,
            csrf: format!("{number:032x}"),
            cart: [Item { sku: "TEA-0042", quantity: 2 }, Item { sku: "CUP-0007", quantity: 1 }],
            flash: "Your changes have been saved. We have sent you a message with all details. Thank you, Ada.",
            at: AT,
            locale: "pt-BR",
        }
    }
}

/// An id in the form of lembro and in that of the peers. Both are on one cache line, so every store
/// pays the same to fetch it.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Id {
    /// The form of lembro.
    pub own: SessionId,
    /// The form in the cookie, which the peers look up.
    pub text: ArrayString<32>,
}

impl Id {
    /// A fresh id in both forms, as lembro makes it.
    pub fn random() -> Self {
        Self::of(SessionId::random().expect("the system's random source"))
    }

    /// A session id in both forms.
    pub fn of(own: SessionId) -> Self {
        Self { own, text: ArrayString::from(&own.expose()).expect("32 characters") }
    }

    /// A fresh id for a store of texts; the form of lembro is the same in all of them.
    pub fn random_text() -> Self {
        static UNUSED: LazyLock<SessionId> = LazyLock::new(|| SessionId::derive("unused"));
        let mut text = [0; 32];
        URL_SAFE_NO_PAD.encode_slice(rand::random::<[u8; 24]>(), &mut text).expect("24 bytes are 32 characters");
        Self { own: *UNUSED, text: ArrayString::from_byte_string(&text).expect("base64 is text") }
    }

    /// Fresh ids in both forms.
    pub fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::random()).collect()
    }

    /// A fresh stream of requests, spread evenly over the sessions. A stream that is used twice
    /// would find its sessions in the processor's cache.
    pub fn requests(ids: &[Self], count: usize) -> Vec<Self> {
        let mut random = rand::rng();
        (0..count).map(|_| *ids.choose(&mut random).expect("at least one session")).collect()
    }
}

/// The new date that each request writes, if it writes: three in ten do, in an order that no
/// processor can predict.
pub fn changes(requests: usize) -> Vec<Option<u64>> {
    let mut changes: Vec<_> = (0..requests).map(|number| (number % 10 < 3).then_some(AT + number as u64)).collect();
    changes.shuffle(&mut rand::rng());
    changes
}
