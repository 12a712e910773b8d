//! The one place that chooses locks and atomics, so that a model checker can take their place.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::thread;

pub(crate) use parking_lot::{Mutex, RwLock};
