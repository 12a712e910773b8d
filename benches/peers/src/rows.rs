//! A row of the results: one figure of one store in one workload.

use serde::{Deserialize, Serialize};

use crate::pairs::{Compared, Quartiles};

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which work: `get`, `cycle` and so on.
    pub work: String,
    /// Under which circumstances.
    pub case: String,
    /// Whose figure.
    pub store: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// In lembro's figure, if they were measured in pairs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ratio: Option<Quartiles>,
}

impl Row {
    /// A figure by itself.
    pub fn new(work: &str, case: impl Into<String>, store: &str, value: f64, unit: &str) -> Self {
        let (work, case, store, unit) = (work.to_owned(), case.into(), store.to_owned(), unit.to_owned());
        Self { work, case, store, value, unit, ratio: None }
    }

    /// A peer's time and its ratio to lembro's.
    pub fn compared(work: &str, case: impl Into<String>, store: &str, compared: Compared) -> Vec<Self> {
        let case = case.into();
        let own = Self::new(work, case.clone(), "lembro", compared.base, "ns");
        let peers = Self::new(work, case, store, compared.peer, "ns");
        vec![own, Self { ratio: Some(compared.ratio), ..peers }]
    }
}

/// One row for each figure: of several runs of the same the median. In the order in which they came first.
pub fn merged(rows: Vec<Row>) -> Vec<Row> {
    let mut merged: Vec<(Row, Vec<f64>)> = Vec::new();
    for row in rows {
        let same = |(other, _): &&mut (Row, Vec<f64>)| {
            (&other.work, &other.case, &other.store) == (&row.work, &row.case, &row.store)
        };
        match merged.iter_mut().find(same) {
            Some((_, values)) => values.push(row.value),
            None => {
                let value = row.value;
                merged.push((row, vec![value]));
            }
        }
    }
    merged.into_iter().map(|(row, values)| Row { value: Quartiles::of(values).median, ..row }).collect()
}
