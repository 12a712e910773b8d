//! The work that every store is given: sessions, their ids, and which of them a request is for.

use std::sync::LazyLock;

use arrayvec::ArrayString;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lembro::SessionId;
use rand::seq::SliceRandom as _;
use rand_distr::{Distribution as _, Uniform, Zipf};
use serde::Serialize;

/// What an application puts into a session: seven keys, about 300 bytes of JSON.
#[derive(Clone, Debug)]
pub struct Data {
    /// `user_id`.
    pub user_id: u64,
    /// `csrf`.
    pub csrf: String,
    /// `cart`.
    pub cart: [Item; 2],
    /// `flash`: what makes a session larger or smaller.
    pub flash: String,
    /// `signed_in_at`, and `seen_at`.
    pub at: u64,
    /// `locale`.
    pub locale: &'static str,
}

/// One thing in the cart.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Item {
    /// Which.
    pub sku: &'static str,
    /// How many of it.
    pub quantity: u32,
}

/// The date of every session, which changes only when one is saved.
pub const AT: u64 = 1_790_000_000;

impl Data {
    /// The session of one user. All of them have the same length, so that stores bounded by size
    /// hold equally many.
    pub fn new(number: usize) -> Self {
        Self {
            user_id: 10_000_000 + number as u64,
            csrf: format!("{number:032x}"),
            cart: [Item { sku: "TEA-0042", quantity: 2 }, Item { sku: "CUP-0007", quantity: 1 }],
            flash: "Your changes have been saved. We have sent you a message with all details. Thank you, Ada."
                .to_owned(),
            at: AT,
            locale: "pt-BR",
        }
    }

    /// The same with so much more text that its JSON is `bytes` long, or as near as possible.
    pub fn sized(number: usize, bytes: usize) -> Self {
        let mut data = Self::new(number);
        data.flash.clear();
        data.flash = "x".repeat(bytes.saturating_sub(data.json_len()));
        data
    }

    /// How long the session is as JSON.
    pub fn json_len(&self) -> usize {
        serde_json::to_string(&crate::map::build(self)).expect("a map of plain values").len()
    }
}

/// An id in both forms that stores want, each looked up without following a pointer: on one cache
/// line, so that it costs every store the same to fetch it.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Id {
    /// As lembro has it.
    pub own: SessionId,
    /// As it is in the cookie: 32 characters.
    pub text: ArrayString<32>,
}

impl Id {
    /// A fresh id in both forms.
    pub fn random() -> Self {
        Self::random_own()
    }

    /// A fresh id, as a store of session ids makes it: with the text for the cookie.
    pub fn random_own() -> Self {
        Self::of(SessionId::random().expect("the system's random source"))
    }

    /// A session id in both forms.
    pub fn of(own: SessionId) -> Self {
        Self { own, text: ArrayString::from(&own.expose()).expect("32 characters") }
    }

    /// A fresh id, as a store of texts makes it. The other form is the same for all.
    pub fn random_text() -> Self {
        static NOBODY: LazyLock<SessionId> = LazyLock::new(|| SessionId::derive("nobody"));
        let mut text = [0; 32];
        URL_SAFE_NO_PAD.encode_slice(rand::random::<[u8; 24]>(), &mut text).expect("24 bytes are 32 characters");
        Self { own: *NOBODY, text: ArrayString::from_byte_string(&text).expect("base64 is text") }
    }

    /// So many fresh ids.
    pub fn many(sessions: usize) -> Vec<Self> {
        (0..sessions).map(|_| Self::random()).collect()
    }
}

/// How requests spread over the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Every session is asked for equally often.
    Uniform,
    /// Zipf's law with exponent 0.99: a few are asked for most of the time.
    Zipf,
}

impl Spread {
    /// Its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }

    /// A fresh stream of requests. A stream that came again would find its sessions in the
    /// processor's cache.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks")]
    pub fn draw(self, ids: &[Id], requests: usize) -> Vec<Id> {
        let mut random = rand::rng();
        match self {
            Self::Uniform => {
                let any = Uniform::new(0, ids.len()).expect("there are ids");
                (0..requests).map(|_| ids[any.sample(&mut random)]).collect()
            }
            Self::Zipf => {
                let rank = Zipf::new(ids.len() as f64, 0.99).expect("a valid exponent");
                (0..requests)
                    // Neighbours in rank are no neighbours in memory.
                    .map(|_| ids[(rank.sample(&mut random) as usize).wrapping_mul(61_803) % ids.len()])
                    .collect()
            }
        }
    }
}

/// Which requests change their session, and to what: three in ten, in no order that a processor
/// could learn.
pub fn changes(requests: usize) -> Vec<Option<u64>> {
    let mut changes: Vec<_> = (0..requests).map(|number| (number % 10 < 3).then_some(AT + number as u64)).collect();
    changes.shuffle(&mut rand::rng());
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_300_bytes_of_json_whoever_it_belongs_to() {
        assert_eq!([0, 1, 999_999].map(|number| Data::new(number).json_len()), [300; 3]);
    }
}
