//! The snapshot: all sessions of a store in one file, written and read chunk by chunk.
//!
//! ```text
//! file    = magic (8 bytes) · format (4) · taken_at (8) · base (8) · sum · chunk* · end
//! chunk   = length of its sessions, not 0 (8) · session* · sum
//! end     = 0 (8) · number of sessions in the file (8) · epoch (8) · sum
//! session = handle (8) · age (2) · flags (1) · length of the row (8) · row
//! row     = the bytes of an `Entry`, its format first, with instants on the calendar
//! sum     = SHA-256 of everything before it in the file, other sums left out (32)
//! ```
//!
//! *Base* is the generation of the first journal that follows this snapshot. *Age* is the position
//! in the eviction queue. *Flags* are the queue (2 bits) and whether the session was visited since
//! its last examination. Numbers are big-endian. Times are nanoseconds since 1970, and the largest
//! number is "never". A row holds digests of secrets, and a digest opens no session.
//!
//! Every sum covers all bytes before it, so every change, omission, repetition and truncation is
//! noticed. SHA-256 is a dependency already, and its cost is small beside that of reading the
//! records. A sum is not a signature, because a process that may write the file can compute valid
//! sums.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::encoding::{ClockAnchor, MAX_COUNT, number, part, read_record, write_record};
use super::files::Problem;
use crate::id::Handle;
use crate::memory::shard::copy::{RestoredEntry, ShardCopy, SnapshotEntry};
use crate::record::Class;
use crate::store::take;
use crate::sync::Ordering;

/// The first bytes of the file. They are not text, and their line end shows if line ends were
/// converted.
const MAGIC: [u8; 8] = *b"lembro\x1a\n";

/// A file of another format is refused.
const FORMAT: u32 = 3;

const SUM_BYTES: usize = 32;

/// A chunk is written when it has at least this many bytes.
const CHUNK_BYTES: usize = 128 * 1024;

const CLASS: u8 = 0x03;
const VISITED: u8 = 0x04;

fn write_entry(bytes: &mut Vec<u8>, entry: &SnapshotEntry, anchor: ClockAnchor) {
    bytes.extend(entry.record.state().handle.to_u64().to_be_bytes());
    bytes.extend(entry.age.to_be_bytes());
    bytes.push(entry.class as u8 | if entry.visited { VISITED } else { 0 });
    write_record(bytes, &entry.record, entry.deadline, anchor);
}

/// Takes the next session of a chunk. `None`: the bytes are not a session.
fn read_entry(bytes: &mut &[u8], anchor: ClockAnchor) -> Option<RestoredEntry> {
    let handle = Handle::from_u64(number(bytes)?);
    let age = u16::from_be_bytes(take(bytes)?);
    let [flags] = take(bytes)?;
    let class = *Class::ALL.get(usize::from(flags & CLASS))?;
    if flags & !(CLASS | VISITED) != 0 {
        return None;
    }
    let record = read_record(part(bytes)?, handle, anchor)?;
    let state = record.state();
    state.set_class(class);
    state.visited.store(flags & VISITED != 0, Ordering::Relaxed);
    Some(RestoredEntry { record, age })
}

pub(super) struct SnapshotWriter<W> {
    out: W,
    anchor: ClockAnchor,
    /// The hash of all bytes so far, sums left out.
    hash: Sha256,
    /// Sessions that are not written yet.
    chunk: Vec<u8>,
    sessions: usize,
    bytes: u64,
}

impl<W: Write> SnapshotWriter<W> {
    pub(super) fn begin(out: W, anchor: ClockAnchor, base: u64) -> io::Result<Self> {
        let chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        let mut writer = Self { out, anchor, hash: Sha256::new(), chunk, sessions: 0, bytes: 0 };
        writer.put(&[&MAGIC, &FORMAT.to_be_bytes(), &anchor.calendar.to_be_bytes(), &base.to_be_bytes()])?;
        Ok(writer)
    }

    pub(super) fn shard(&mut self, shard: &ShardCopy) -> io::Result<()> {
        for entry in &shard.sessions {
            write_entry(&mut self.chunk, entry, self.anchor);
            self.sessions += 1;
            if self.chunk.len() >= CHUNK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the file. Returns how many sessions it holds, and its size in bytes.
    pub(super) fn finish(mut self, epoch: u64) -> io::Result<(usize, u64)> {
        self.flush()?;
        self.put(&[&[0; 8], &(self.sessions as u64).to_be_bytes(), &epoch.to_be_bytes()])?;
        self.out.flush()?;
        Ok((self.sessions, self.bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        self.put(&[&(chunk.len() as u64).to_be_bytes(), &chunk])?;
        chunk.clear();
        self.chunk = chunk;
        Ok(())
    }

    /// Writes the parts and the sum of everything so far.
    fn put(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.hash.update(part);
        }
        let sum = self.hash.clone().finalize();
        for part in parts.iter().copied().chain([&*sum]) {
            self.out.write_all(part)?;
            self.bytes += part.len() as u64;
        }
        Ok(())
    }
}

/// The content of a snapshot except its sessions.
#[derive(Default)]
pub(super) struct SnapshotSummary {
    pub(super) taken_at: u64,
    /// The generation of the first journal that follows this snapshot.
    pub(super) base: u64,
    /// `None`: the end of the file, which holds the epoch, was not read.
    pub(super) epoch: Option<u64>,
    /// The first damage. The sessions before it were read.
    pub(super) damage: Option<Problem>,
}

/// Reads a file of `size` bytes. When the sum of a chunk was checked, each session of the chunk is
/// passed to `entry`, together with the anchor that converted its deadline.
pub(super) fn read(
    input: impl Read,
    size: u64,
    now: ClockAnchor,
    entry: impl FnMut(RestoredEntry, ClockAnchor),
) -> SnapshotSummary {
    let mut summary = SnapshotSummary::default();
    let mut reader = SnapshotReader { input, left: size, hash: Sha256::new() };
    summary.damage = reader.read(now, &mut summary, entry).err();
    summary
}

struct SnapshotReader<R> {
    input: R,
    /// The number of bytes of the file that are not read yet.
    left: u64,
    /// The hash of all bytes so far, sums left out.
    hash: Sha256,
}

impl<R: Read> SnapshotReader<R> {
    fn read(
        &mut self,
        now: ClockAnchor,
        summary: &mut SnapshotSummary,
        mut entry: impl FnMut(RestoredEntry, ClockAnchor),
    ) -> Result<(), Problem> {
        (summary.taken_at, summary.base) = self.head()?;
        // A calendar that was set back since the snapshot must not prolong sessions.
        let now = ClockAnchor { calendar: now.calendar.max(summary.taken_at), ..now };
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
                let session = read_entry(&mut sessions, now);
                entry(session.ok_or_else(|| format!("chunk {number} holds an invalid session"))?, now);
                found += 1;
            }
        }
        let [count, epoch] = self.numbers()?;
        self.check_sum(|| "the end".to_owned())?;
        if epoch > MAX_COUNT {
            return Err(format!("its epoch is {epoch}, and no store comes beyond {MAX_COUNT}"));
        }
        summary.epoch = Some(epoch);
        if count != found {
            return Err(format!("it holds {found} sessions and says that there are {count}"));
        }
        if self.left > 0 {
            return Err("it has bytes after its end".to_owned());
        }
        Ok(())
    }

    /// Reads the head. Returns when the snapshot was taken, and its base.
    fn head(&mut self) -> Result<(u64, u64), Problem> {
        if self.left == 0 {
            return Err("it is empty".to_owned());
        }
        let mut magic = [0; MAGIC.len()];
        let length = MAGIC.len().min(usize::try_from(self.left).unwrap_or(MAGIC.len()));
        self.exactly(&mut magic[..length])?;
        if magic[..length] != MAGIC[..length] {
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
        // The length is checked before memory is allocated, because a damaged length may be any
        // number.
        let length = usize::try_from(length).ok().filter(|length| *length as u64 <= self.left).ok_or_else(cut_off)?;
        bytes.clear();
        bytes.resize(length, 0);
        self.exactly(bytes)
    }

    fn check_sum(&mut self, part: impl Fn() -> String) -> Result<(), Problem> {
        let expected: [u8; SUM_BYTES] = self.hash.clone().finalize().into();
        let mut sum = [0; SUM_BYTES];
        self.fill(&mut sum)?;
        if sum != expected {
            return Err(format!("it is damaged: {} does not match its checksum", part()));
        }
        Ok(())
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        self.fill(bytes)?;
        self.hash.update(&*bytes);
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(cut_off)?;
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => format!("it cannot be read: {error}"),
        })
    }
}

fn cut_off() -> Problem {
    "it ends in the middle".to_owned()
}
