//! Records: one session's data in one flat block, and the changes that make the next record.
//!
//! ```text
//! record           the record, and how it is built
//! block, frame     the memory of a record: header, version, body, second secret
//! body             the bytes of the data: head and entries
//! merge            a body written from another one and some edits
//! changes, keys    the changes of a request
//! exact, scan      the writer of values as JSON; it refuses those that JSON would change
//! json             records in serde's formats
//! limits           the limits, and the check of bytes that this crate may not have written
//! ```

mod block;
mod body;
mod changes;
mod entries;
mod exact;
mod frame;
mod head;
mod json;
mod keys;
mod limits;
mod merge;
#[expect(clippy::module_inception, reason = "the module's one noun, in a file that the others can import")]
mod record;
mod scan;

pub(crate) use self::block::{Class, StoreState};
pub use self::changes::Changes;
#[cfg(feature = "redis")]
pub(crate) use self::entries::RecordEntry;
pub(crate) use self::entries::{parse, parse_str};
pub use self::frame::Version;
pub(crate) use self::frame::{Frame, NEVER, SecondSecret};
pub(crate) use self::head::{CsrfKey, Head, MAX_MILLIS, Ownership, Times, calendar_time};
pub use self::keys::Change;
pub(crate) use self::limits::check_owner;
pub use self::limits::{MAX_KEY_BYTES, MAX_KEYS};
pub use self::record::Record;
#[cfg(feature = "redis")]
pub(crate) use self::scan::json_text;
