//! The whole: which workloads there are, and which stores take part in each.

use std::env;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::child::{self, measure};
use crate::rows::Row;
use crate::workloads::create;

/// A workload by its name on the command line.
pub type Workload = (&'static str, fn() -> Vec<Row>);

/// All of them, in the order of the results.
pub const WORKLOADS: [Workload; 10] = [
    ("get", get),
    ("cycle", cycle),
    ("create", create),
    ("growth", growth),
    ("churn", churn),
    ("survival", survival),
    ("purge", purge),
    ("heap", heap),
    ("curves", curves),
    ("whole", whole),
];

const SMALL: usize = 100_000;
const LARGE: usize = 1_000_000;

/// Pairs per figure: more where they are cheap.
const ROUNDS: usize = 7;
const FEW_ROUNDS: usize = 5;

/// Runs of what is not measured in pairs.
const RUNS: usize = 3;

/// Whoever gives out snapshots: what one request reads, no other changes.
pub(crate) const SNAPSHOTS: [&str; 9] = [
    "dashmap",
    "papaya",
    "quick_cache",
    "RwLock<HashMap> of Arc",
    "mini-moka",
    "moka",
    "RwLock<HashMap>",
    "tower-sessions memory",
    "tower-sessions moka",
];

fn get() -> Vec<Row> {
    let small = ["bare HashMap"].into_iter().chain(SNAPSHOTS).flat_map(|store| measure("get", store, &[SMALL, ROUNDS]));
    // Filling takes most of the time, so only whoever there is a goal for.
    let large = ["bare HashMap", "dashmap", "quick_cache", "moka", "tower-sessions memory"];
    small.chain(large.into_iter().flat_map(|store| measure("get", store, &[LARGE, ROUNDS]))).collect()
}

fn cycle() -> Vec<Row> {
    let stores = SNAPSHOTS.into_iter().chain(["dashmap in place", "lembro Sessions"]);
    stores.flat_map(|store| measure("cycle", store, &[SMALL, ROUNDS])).collect()
}

fn create() -> Vec<Row> {
    let alone = SNAPSHOTS.into_iter().chain(["lembro Sessions"]);
    let alone = alone.flat_map(|store| create::compared(store, 1, FEW_ROUNDS));
    // Those that could be the fastest.
    let fast = ["dashmap", "papaya", "quick_cache", "RwLock<HashMap> of Arc", "moka"];
    alone.chain(fast.into_iter().flat_map(|store| create::compared(store, 2, FEW_ROUNDS))).collect()
}

fn growth() -> Vec<Row> {
    let peers = ["dashmap", "papaya", "quick_cache", "RwLock<HashMap> of Arc", "moka"];
    let own = (0..RUNS).flat_map(|_| measure("growth", "lembro", &[LARGE]));
    own.chain(peers.into_iter().flat_map(|store| measure("growth", store, &[LARGE]))).collect()
}

fn churn() -> Vec<Row> {
    let stores = ["quick_cache", "moka", "mini-moka", "Mutex<lru>"];
    let paired = stores.into_iter().flat_map(|store| measure("churn", store, &[FEW_ROUNDS]));
    paired.chain(measure("churn", "lembro", &[])).collect()
}

fn survival() -> Vec<Row> {
    let stores = ["lembro", "quick_cache", "moka", "mini-moka", "Mutex<lru>"];
    let jobs = stores.into_iter().flat_map(|store| {
        [1, 4].into_iter().flat_map(move |burst| [5, 20, 50, 80].map(|percent| (store, [percent, burst])))
    });
    // Nothing is timed here.
    two_at_a_time(jobs.collect(), |(store, numbers)| measure("survival", store, &numbers))
}

fn purge() -> Vec<Row> {
    let peers = ["dashmap", "papaya", "quick_cache", "RwLock<HashMap> of Arc"];
    let own = (0..RUNS).flat_map(|_| {
        let touched = measure("purge touched", "lembro", &[LARGE]);
        measure("purge", "lembro", &[LARGE]).into_iter().chain(touched)
    });
    own.chain(peers.into_iter().flat_map(|store| measure("purge", store, &[LARGE]))).collect()
}

/// At four fills of the tables: just over three quarters of a power of two, and well over it. The
/// peers' maps are the same at all of them, but for two.
fn heap() -> Vec<Row> {
    let stores = [
        "lembro",
        "bare HashMap",
        "dashmap",
        "papaya",
        "quick_cache",
        "RwLock<HashMap> of Arc",
        "moka",
        "tower-sessions memory",
    ];
    let all = [75_000, 100_000, 750_000, 1_000_000];
    let jobs = stores.into_iter().flat_map(|store| {
        let fills = if matches!(store, "lembro" | "bare HashMap") { &all[..] } else { &all[..2] };
        fills.iter().map(move |fill| (store, *fill))
    });
    // The other program of this package, which cargo has not built if it was only asked to run this
    // one.
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--release", "--quiet", "--bin", "heap", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    assert!(cargo.status().expect("cargo starts").success(), "the program that counts cannot be built");
    let program = env::current_exe().expect("a path to this program").with_file_name("heap");
    two_at_a_time(jobs.collect(), |(store, fill)| {
        child::rows_of(Command::new(&program).arg(store).arg(fill.to_string()))
    })
}

fn curves() -> Vec<Row> {
    let sessions = [10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000].map(|x| ("curves sessions", x));
    let payload = [50, 200, 1_000, 4_096, 16_384, 65_536].map(|x| ("curves payload", x));
    let threads = [1, 2, 4, 8].map(|x| ("curves threads", x));
    sessions.into_iter().chain(payload).chain(threads).flat_map(|(work, x)| measure(work, "lembro", &[x])).collect()
}

fn whole() -> Vec<Row> {
    (0..RUNS - 1).flat_map(|_| measure("whole", "lembro", &[LARGE])).collect()
}

fn two_at_a_time<J: Send>(mut jobs: Vec<J>, work: impl Fn(J) -> Vec<Row> + Sync) -> Vec<Row> {
    jobs.reverse();
    let (jobs, rows) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let take = || jobs.lock().expect("nobody panicked").pop();
    let run = || {
        while let Some(job) = take() {
            let new = work(job);
            rows.lock().expect("nobody panicked").extend(new);
        }
    };
    thread::scope(|scope| {
        scope.spawn(run);
        run();
    });
    rows.into_inner().expect("nobody panicked")
}
