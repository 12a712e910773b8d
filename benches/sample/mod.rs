//! The session that the benchmarks store: seven keys, 300 bytes of JSON.

use lembro::Record;
use serde_json::{Value, json};

/// The session of one user.
pub(crate) fn record(number: usize) -> Record {
    let entries: [(&str, Value); 7] = [
        ("user_id", json!(number)),
        ("csrf", json!(format!("{number:032x}"))),
        ("cart", json!([{"sku": "TEA-0042", "quantity": 2}, {"sku": "CUP-0007", "quantity": 1}])),
        ("flash", json!("Your changes have been saved. Thank you.")),
        ("signed_in_at", json!(1_790_000_000_u64)),
        ("seen_at", json!(1_790_000_000_u64)),
        ("locale", json!("pt-BR")),
    ];
    entries.into_iter().collect()
}
