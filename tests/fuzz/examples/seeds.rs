//! The seeds of each target, written to `corpus/<target>`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in lembro_fuzz::from_outside::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
