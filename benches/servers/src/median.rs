//! The median of figures, and the error that ends a measurement.

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The median of an odd number of values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
