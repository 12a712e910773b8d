//! Sessions.
mod clock;
mod error;
mod event;
mod id;
mod memory;
mod policy;
mod record;
mod session;
mod sessions;
mod shared;
mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod units;
pub use self::clock::{Clock, ManualClock};
pub use self::error::{Error, Result};
pub use self::event::Event;
pub use self::id::{Handle, SecretDigest, SessionId};
pub use self::memory::{LembroOptions, LembroStore, Purge, Stats};
pub use self::policy::Policy;
pub use self::record::{Change, Changes, Expected, Fit, MAX_KEY_BYTES, MAX_KEYS, Record, Version};
pub use self::session::{Component, Saved, Session};
pub use self::sessions::Sessions;
pub use self::store::{Listed, Listing, Outcome, Store, Stored};
pub use self::units::Setting;
