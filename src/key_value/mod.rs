//! The key-value store: a complete store on a backend that has three methods and stores bytes.

mod backend;
mod entries;
mod store;

pub use self::backend::KeyValue;
pub use self::store::KeyValueStore;
