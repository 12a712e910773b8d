//! The backend: the trait that keeps bytes under keys.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;

/// A backend that keeps bytes under keys: a table of two columns, or a folder.
///
/// [`KeyValueStore`](crate::KeyValueStore) is a whole [`Store`](crate::Store) on these three
/// methods. Changes of parallel requests are merged, a logout is final, and there are lists of
/// devices, "log out everywhere" and limits on logins.
///
/// # The contract
///
/// **Keys** are ASCII texts of at most 77 bytes, made of lowercase letters, digits and `-`:
/// `lembro-session-` and 16 digits of a [`Handle`](crate::Handle), or `lembro-owner-` and 64 digits
/// of a SHA-256 of the owner's name. They are valid file names, even where names ignore case. No
/// key contains an id. If several applications share a backend, it adds a prefix for each.
///
/// **Bytes.** `get` returns the bytes exactly as `set` received them. They contain digests of
/// secrets, which open no session, and the session's data in clear text. If the backend must not
/// reveal the data, encrypt the bytes.
///
/// **Atomic `set`.** A `set` stores all bytes or none, even if the process ends on the way. A file,
/// for example, is written beside the old one and then renamed. After `Ok`, a `set` or `remove` is
/// as durable as the backend makes it, and so are all promises of the store.
///
/// **Time.** The store goes by a deadline inside the bytes. A backend may keep an entry for longer
/// than its time to live, or for good, but must not drop it sooner. If it drops the entry of a
/// session, that user is logged out. If it drops the entry of an owner, "log out everywhere" no
/// longer reaches the sessions in it. So a cache that evicts is no backend for sessions with
/// owners. A backend that removes old entries by itself compares the time and removes in one step;
/// otherwise it can remove an entry that was set in between.
///
/// **Locks.** The store calls these methods under a lock. No two calls with one key run at the same
/// time, except `get` beside `get`. The methods must not call the store.
///
/// **One process.** The locks belong to one [`KeyValueStore`](crate::KeyValueStore). Two stores on
/// the same data, in one process or in two, lose commits. For several processes there are
/// `RedisStore` and the [`Store`](crate::Store) trait, whose methods are transactions.
///
/// # Errors
///
/// If `get` fails, nothing was written. If `set` or `remove` fails, the store reports the outcome
/// of the call [as unknown](crate::Error::is_unknown), because most backends cannot tell it. The
/// session then sends its commit again, and the nonces in the row show whether the commit had been
/// carried out. For two errors nothing was written, and the store passes them on:
/// [`Error::size`](crate::Error::size) for an entry that the backend refuses,
/// [`Error::full`](crate::Error::full) for an entry that it has no room for.
///
/// # Compared with express-session
///
/// In express-session, a store is an object with `get`, `set`, `destroy` and, optionally, `touch`
/// (`update` in express-lembro), which stores the same session with a later time. Here that is a
/// `set` too, at most once per [`touch_after`](crate::Lease::touch_after). In express-session, each
/// store decides the effect of a save after a logout. Here the [rule](crate::Entry) decides, and
/// the backend sees only bytes.
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
    /// The bytes under a key; `None` if there are none.
    ///
    /// # Errors
    ///
    /// When the backend failed: [`Error::store`](crate::Error::store).
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Stores bytes under a key, in place of the previous ones. The backend must keep them for
    /// `ttl`, a number of whole seconds up to a century, and may remove them after that.
    ///
    /// # Errors
    ///
    /// When the backend failed, and may have stored the bytes. It has not stored them if the error
    /// is [`Error::size`](crate::Error::size) or [`Error::full`](crate::Error::full).
    fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<()>;

    /// Removes the bytes under a key. If there are none, that is a success too.
    ///
    /// # Errors
    ///
    /// When the backend failed, and may have removed the bytes.
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
