//! The key-value store: a whole store on a backend of three methods, which only keeps bytes.

mod backend;
mod entries;
mod store;

pub use self::backend::KeyValue;
pub use self::store::KeyValueStore;
