//! The backend: the trait that keeps bytes under keys.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;

/// A backend that keeps bytes under keys: a table of two columns, or a folder.
///
/// [`KeyValueStore`](crate::KeyValueStore) builds a whole [`Store`](crate::Store) from these
/// three methods. It merges the changes of parallel requests, makes a logout final, and supports
/// lists of devices, "log out everywhere" and limits on logins.
///
/// # The contract
///
/// **Keys** are ASCII texts of at most 77 bytes, made of lowercase letters, digits and `-`:
/// `lembro-session-` and 16 digits of a [`Handle`](crate::Handle), or `lembro-owner-` and 64 digits
/// of a SHA-256 of the owner's name. They are valid file names, even in a file system that ignores
/// case. No key contains an id. If several applications share a backend, it adds a prefix for each
/// application.
///
/// **Bytes.** `get` returns the bytes exactly as `set` received them. They contain digests of
/// secrets, which open no session, and the session's data in clear text. If the backend must not
/// reveal the data, encrypt the bytes.
///
/// **Atomic `set`.** A `set` stores all bytes or none, even if the process ends on the way. A file,
/// for example, is written beside the old one and then renamed. After `Ok`, a `set` or `remove`
/// must be as durable as the backend's storage, because the store adds no durability.
///
/// **Time.** The bytes contain a deadline, and the store decides by it whether a session has
/// expired. A backend may keep an entry for longer than its time to live, or for good, but must not
/// drop it sooner. If it drops the entry of a session, that user is logged out. If it drops the
/// entry of an owner, "log out everywhere" no longer reaches the sessions in it. So a cache that
/// evicts is no backend for sessions with owners. A backend that removes old entries by itself must
/// compare the time and remove the entry in one atomic step. Otherwise it could remove an entry
/// that was set again in between.
///
/// **Locks.** The store calls these methods under a lock. Two calls with the same key never run at
/// the same time, unless both are `get`. The methods must not call the store.
///
/// **One process.** The locks belong to one [`KeyValueStore`](crate::KeyValueStore). Two stores on
/// the same data, in one process or in two, lose commits. For several processes there are
/// `RedisStore` and the [`Store`](crate::Store) trait, whose methods are transactions.
///
/// # Errors
///
/// If `get` fails, nothing was written. If `set` or `remove` fails, the store reports the outcome
/// of the call [as unknown](crate::Error::is_unknown), because most backends cannot tell whether
/// they wrote. The session then sends its commit again, and the nonces in the row show whether the
/// first attempt was carried out. Two errors mean that nothing was written, and the store returns
/// them unchanged: [`Error::size`](crate::Error::size) if the entry is too large for the backend,
/// and [`Error::full`](crate::Error::full) if the backend has no room.
///
/// # Compared with express-session
///
/// In express-session, a store is an object with `get`, `set`, `destroy` and optionally `touch`.
/// `touch` (`update` in express-lembro) stores the same session with a later deadline. Here, a
/// touch is a `set`, at most once per [`touch_after`](crate::Lease::touch_after). In
/// express-session, each store decides the effect of a save after a logout. Here the
/// [rule](crate::Entry) decides, and the backend sees only bytes.
///
/// # Examples
///
/// `examples/kv_sqlite.rs` and `examples/kv_files.rs` are backends that outlive the process.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
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
/// let map = Arc::new(Map::default());
/// let sessions = Sessions::new(KeyValueStore::new(Arc::clone(&map)));
/// let mut session = sessions.generate()?;
/// session.log_in("user-42")?;
/// session.save()?;
///
/// // The store keeps nothing beside the backend's bytes.
/// drop((session, sessions));
/// let sessions = Sessions::new(KeyValueStore::new(map));
/// assert_eq!(sessions.owner("user-42")?.count()?, 1);
/// # Ok::<(), lembro::Error>(())
/// ```
pub trait KeyValue: Send + Sync + 'static {
    /// Returns the bytes under a key, or `None` if the key has none.
    ///
    /// # Errors
    ///
    /// [`Error::store`](crate::Error::store) if the backend fails.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Stores bytes under a key, in place of the previous ones. The backend must keep them for
    /// `ttl`, a number of whole seconds up to a century, and may remove them after that.
    ///
    /// # Errors
    ///
    /// If the backend fails. It may have stored the bytes, unless the error is
    /// [`Error::size`](crate::Error::size) or [`Error::full`](crate::Error::full).
    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()>;

    /// Removes the bytes under a key. Returns `Ok` also if the key has none.
    ///
    /// # Errors
    ///
    /// If the backend fails. It may have removed the bytes.
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
