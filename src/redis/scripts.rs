//! The scripts: what happens at one instant, to a session or to an owner's set.
//!
//! On a server whose memory is full a script fails at its first write if that may need memory, or
//! not at all. So what makes the data grow begins with `HSET` or `ZADD` and is refused; what ends
//! sessions or makes them smaller begins with a removal, even of nothing, and is carried out.

mod owner;
mod parts;
mod session;

use std::sync::LazyLock;

pub(super) use self::owner::{COUNTS, ENTER, LEAVE, NOTE, RAISE};
pub(super) use self::session::{COMMIT, END, LOOK, MARK, PUT};

/// A script, and the name that a server knows it by once it has seen it.
pub(super) struct Script {
    pub(super) code: String,
    pub(super) hash: String,
}

fn script(parts: &[&str]) -> Script {
    let code = parts.concat();
    let hash = ::redis::Script::new(&code).get_hash().to_owned();
    Script { code, hash }
}

macro_rules! scripts {
    ($prelude:ident: $($(#[$doc:meta])* $name:ident = [$($part:expr),+];)*) => {
        $($(#[$doc])* pub(in crate::redis) static $name: LazyLock<Script> =
            LazyLock::new(|| script(&[$prelude, $($part),+]));)*
    };
}

use scripts;
