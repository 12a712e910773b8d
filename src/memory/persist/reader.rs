//! The reader of a snapshot: reads it chunk by chunk, and keeps no session before its chunk's sum
//! was checked.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::format::{FORMAT, MAGIC, MAX_COUNT, Noon, SUM_BYTES, read_session};
use super::place::Problem;
use super::replay::Touches;
use crate::memory::shard::Kept;

/// The content of a file, beside its sessions.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) taken_at: u64,
    /// The generation of the first journal that goes on from here.
    pub(super) base: u64,
    pub(super) expired: usize,
    /// `None`: the end of the file, which holds it, was not read.
    pub(super) epoch: Option<u64>,
    /// The first thing that is wrong. What stood before it was read.
    pub(super) damage: Option<Problem>,
}

/// Reads a file of `size` bytes and hands over its sessions, those of a chunk once the chunk's sum
/// was checked. `noon` is the present instant.
pub(super) fn read(input: impl Read, size: u64, noon: Noon, touches: &Touches, session: impl FnMut(Kept)) -> Contents {
    let mut contents = Contents::default();
    let mut reader = Reader { input, left: size, hash: Sha256::new() };
    contents.damage = reader.read(noon, touches, &mut contents, session).err();
    contents
}

struct Reader<R> {
    input: R,
    /// How many bytes of the file are still to come.
    left: u64,
    /// Covers everything so far, other sums left out.
    hash: Sha256,
}

impl<R: Read> Reader<R> {
    fn read(
        &mut self,
        noon: Noon,
        touches: &Touches,
        contents: &mut Contents,
        mut session: impl FnMut(Kept),
    ) -> Result<(), Problem> {
        (contents.taken_at, contents.base) = self.header()?;
        // If the calendar was set back since the snapshot, that prolongs no session.
        let noon = Noon { wall: noon.wall.max(contents.taken_at), ..noon };
        let (mut chunk, mut found) = (Vec::new(), 0);
        for number in 1_u64.. {
            let [length] = self.numbers()?;
            if length == 0 {
                break;
            }
            self.bytes(length, &mut chunk)?;
            self.check_sum(|| format!("chunk {number}"))?;
            let mut sessions = &chunk[..];
            while !sessions.is_empty() {
                match read_session(&mut sessions, noon, touches) {
                    Some(Some(kept)) => session(kept),
                    Some(None) => contents.expired += 1,
                    None => return Err(format!("chunk {number} holds something that is not a session")),
                }
                found += 1;
            }
        }
        let [count, epoch] = self.numbers()?;
        self.check_sum(|| "the end".to_owned())?;
        if epoch > MAX_COUNT {
            return Err(format!("its epoch is {epoch}, and no store comes beyond {MAX_COUNT}"));
        }
        contents.epoch = Some(epoch);
        if count != found {
            return Err(format!("it holds {found} sessions and says that there are {count}"));
        }
        if self.left > 0 {
            return Err("it goes on after its end".to_owned());
        }
        Ok(())
    }

    /// Reads the head; returns when the snapshot was taken, and its base.
    fn header(&mut self) -> Result<(u64, u64), Problem> {
        if self.left == 0 {
            return Err("it is empty".to_owned());
        }
        let mut start = [0; MAGIC.len()];
        let known = MAGIC.len().min(usize::try_from(self.left).unwrap_or(MAGIC.len()));
        self.exactly(&mut start[..known])?;
        if start[..known] != MAGIC[..known] {
            return Err("it is not a snapshot of lembro".to_owned());
        }
        let mut format = [0; 4];
        self.exactly(&mut format)?;
        let format = u32::from_be_bytes(format);
        if format != FORMAT {
            return Err(format!("it is of format {format}, and this version of lembro reads format {FORMAT} only"));
        }
        let [taken_at, base] = self.numbers()?;
        self.check_sum(|| "the head".to_owned())?;
        if base > MAX_COUNT {
            return Err(format!("its base is {base}, and no store comes beyond {MAX_COUNT}"));
        }
        Ok((taken_at, base))
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u64; N], Problem> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            let mut bytes = [0; 8];
            self.exactly(&mut bytes)?;
            *number = u64::from_be_bytes(bytes);
        }
        Ok(numbers)
    }

    fn bytes(&mut self, length: u64, bytes: &mut Vec<u8>) -> Result<(), Problem> {
        // Checked before the memory is allocated, because a damaged length may be any number.
        let length = usize::try_from(length).ok().filter(|length| *length as u64 <= self.left).ok_or_else(cut_off)?;
        bytes.clear();
        bytes.resize(length, 0);
        self.exactly(bytes)
    }

    fn check_sum(&mut self, part: impl Fn() -> String) -> Result<(), Problem> {
        let expected: [u8; SUM_BYTES] = self.hash.clone().finalize().into();
        let mut sum = [0; SUM_BYTES];
        self.raw(&mut sum)?;
        if sum != expected {
            return Err(format!("it is damaged: {} does not match its checksum", part()));
        }
        Ok(())
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        self.raw(bytes)?;
        self.hash.update(&*bytes);
        Ok(())
    }

    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(cut_off)?;
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => unreadable(&error),
        })
    }
}

fn cut_off() -> Problem {
    "it ends in the middle".to_owned()
}

fn unreadable(error: &io::Error) -> Problem {
    format!("it cannot be read: {error}")
}
