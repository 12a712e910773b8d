//! The key-value store: a whole store on a backend of three methods, which only keeps bytes.
//!
//! ```text
//! mod        the backend's trait
//! store      the loop around the rule, under striped locks
//! owners     the sessions of one owner
//! entries    keys, and what the bytes are
//! ```

mod entries;
mod owners;
mod store;

use std::sync::Arc;
use std::time::Duration;

pub use self::store::KeyValueStore;
use crate::error::Result;

/// A backend that keeps bytes under keys: a table of two columns, or a folder.
///
/// Three methods, and [`KeyValueStore`] makes a whole [`Store`](crate::Store) of it. Sessions merge
/// what they changed, a logout is final, and there are lists of devices, "log out everywhere" and
/// limits on logins.
///
/// # The contract
///
/// **Keys** are ASCII texts of at most 77 bytes, made of lowercase letters, digits and `-`:
/// `lembro-session-` and 16 digits of a [`Handle`](crate::Handle), or `lembro-owner-` and 64 digits
/// of a SHA-256 of the owner's name. They are fit for file names, also where those know no case. No
/// key holds an id. A backend that several applications share adds a prefix of its own.
///
/// **Bytes** come back as they were given. They hold digests of secrets, which open no session, and
/// the session's data in clear text: encrypt them if the backend must not give those away.
///
/// **A `set` is whole or did not happen**, even if the process ends on the way: a file is written
/// beside the old one and then renamed. After `Ok`, a `set` or `remove` is as durable as the
/// backend makes it, and so are all promises of the store.
///
/// **Time.** The deadline is inside the bytes, and the store goes by it. A backend may keep an
/// entry for longer than its time to live, or for good, but must not drop it sooner. If it drops
/// the entry of a session, that user is logged out; if it drops the entry of an owner, "log out
/// everywhere" no longer reaches the sessions that it listed. So a cache that evicts is no backend
/// for sessions with owners. A backend that removes old entries by itself compares the time and
/// removes in one step; otherwise it can remove an entry that was set in between.
///
/// **Locks.** The store calls these methods under a lock, as it would call the driver of a
/// database. No two calls with one key run at the same time, except `get` beside `get`. The methods
/// must not call the store.
///
/// **One process.** The locks are those of one [`KeyValueStore`]. Two stores on the same data, in
/// one process or in two, lose commits. For several processes there are `RedisStore` and the
/// [`Store`](crate::Store) trait, whose methods are transactions.
///
/// # Errors
///
/// If `get` fails, nothing was written. If `set` or `remove` fails, the store reports the outcome
/// of the call [as unknown](crate::Error::is_unknown), because most backends cannot tell: the
/// session sends its commit again, and the nonces in the row say whether it had been carried out.
/// Two errors say that nothing was written, and are passed on as they are:
/// [`Error::size`](crate::Error::size) for an entry that the backend refuses,
/// [`Error::full`](crate::Error::full) for one that it has no room for.
///
/// # Beside express-session
///
/// There, a store is an object with `get`, `set`, `destroy` and, optionally, `touch` (`update` in
/// express-lembro), which writes the same session with a later time. Here that is a `set` too, of
/// the same few bytes, at most once per [`touch_after`](crate::Lease::touch_after). There, each
/// store decides what a save after a logout does. Here, the [rule](crate::Entry) decides, and the
/// backend sees only bytes.
///
/// # Examples
///
/// `examples/kv_sqlite.rs` and `examples/kv_files.rs` are two that outlive the process.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// use lembro::{KeyValue, KeyValueStore, Result, Sessions};
///
/// #[derive(Default)]
/// struct Map(Mutex<HashMap<String, Vec<u8>>>);
///
/// impl KeyValue for Map {
///     fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
///     fn set(&self, key: &str, bytes: &[u8], _ttl: Duration) -> Result<()> {
///         self.0.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
///         Ok(())
///     }
///     fn remove(&self, key: &str) -> Result<()> {
///         self.0.lock().unwrap().remove(key);
///         Ok(())
///     }
/// }
///
/// let sessions = Sessions::new(KeyValueStore::new(Map::default()));
/// let mut session = sessions.generate()?;
/// session.log_in("user-42")?;
/// session.save()?;
/// assert_eq!(sessions.owner("user-42")?.count()?, 1);
/// # Ok::<(), lembro::Error>(())
/// ```
pub trait KeyValue: Send + Sync + 'static {
    /// The bytes under a key; `None` if there are none.
    ///
    /// # Errors
    ///
    /// When the backend failed: [`Error::store`](crate::Error::store).
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Stores bytes under a key, in place of those that are there. `ttl`: how long they must be
    /// kept, rounded up, from a second to a century; after that they may be removed.
    ///
    /// # Errors
    ///
    /// When the backend failed: they may have been stored or not.
    /// [`Error::size`](crate::Error::size) and [`Error::full`](crate::Error::full) say that they
    /// were not.
    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()>;

    /// Removes the bytes under a key. There may be none, which is a success too.
    ///
    /// # Errors
    ///
    /// When the backend failed: they may have been removed or not.
    fn remove(&self, key: &str) -> Result<()>;
}

macro_rules! forward_key_value {
    ($pointer:ident) => {
        impl<K: KeyValue + ?Sized> KeyValue for $pointer<K> {
            fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
                (**self).get(key)
            }
            fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()> {
                (**self).set(key, bytes, ttl)
            }
            fn remove(&self, key: &str) -> Result<()> {
                (**self).remove(key)
            }
        }
    };
}

forward_key_value!(Arc);
forward_key_value!(Box);
