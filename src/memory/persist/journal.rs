//! The journal: what was committed and ended since the snapshot, in the order in which it happened.
//!
//! ```text
//! file   = head · frame*
//! head   = magic (8) · format (4) · generation (8) · length of the journal before (8) · sum
//! frame  = length of its entries (8) · number (8) · written at (8) · sum of the entries · sum
//!          · entry* · end (1)
//! entry  = 1 · handle (8) · length of the row (8) · row       a commit: the whole row after it
//!        | 2 · handle (8) · version (8)                       the end of an incarnation
//!        | 3 · handle (8) · version (8) · deadline (8)        a touch
//!        | 4 · epoch (8) · length of the owner (8) · owner    "log out everywhere"
//!        | 5 · epoch (8)                                      of owners that are not remembered
//!        | 6 · handle (8) · digest of the secret (16) · reason (1)   why a session ended
//! sum    = CRC-32 of what stands before it in the head or the frame (4)
//! ```
//!
//! The first frame has the entries 4 to 6 of all that is remembered when the journal begins.
//!
//! Numbers are big-endian, times nanoseconds since 1970. Frames are numbered from 1. A row is what
//! `Entry::to_bytes` gives.
//!
//! A process that is killed while it writes leaves the beginning of a frame, and a computer that
//! loses its power may leave zeros: such an end was never acknowledged, and is left out. The byte
//! at the end of a frame is not zero, so that zeros are told from a frame that was whole. Anything
//! else is damage.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::changes::Mutation;
use super::format::{Noon, number};
use super::place::{Place, Problem};
use crate::store::take;
use crate::sync::Arc;

/// Not text, and damaged by every conversion of line ends.
const MAGIC: [u8; 8] = *b"lembroj\n";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 32;
const END: u8 = 0xa5;

/// A frame is written when its entries are larger than this.
const FRAME_BYTES: usize = 1 << 20;

/// The most changes that memory is kept for.
const SPARE: usize = 4096;

/// A journal that is being written.
pub(super) struct Journal {
    file: Arc<File>,
    pub(super) generation: u64,
    pub(super) length: u64,
    frames: u64,
    /// Whether it has what was not flushed.
    pub(super) is_dirty: bool,
    /// For the next frames; kept from one to the other.
    bytes: Vec<u8>,
    /// An empty queue, for the next changes.
    pub(super) spare: Vec<Mutation>,
}

impl Journal {
    /// Makes the file. Its name is on the disk when this returns.
    pub(super) fn create(place: &Place, generation: u64) -> io::Result<Self> {
        let file = Arc::new(Place::create(&place.journal(generation))?);
        place.sync_folder()?;
        Ok(Self { file, generation, length: 0, frames: 0, is_dirty: false, bytes: Vec::new(), spare: Vec::new() })
    }

    /// Writes the head. `before`: the length of the journal before this one.
    pub(super) fn begin(&mut self, before: u64) -> io::Result<()> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend(MAGIC);
        head.extend(FORMAT.to_be_bytes());
        head.extend(self.generation.to_be_bytes());
        head.extend(before.to_be_bytes());
        head.extend(crc32fast::hash(&head).to_be_bytes());
        (&*self.file).write_all(&head)?;
        self.length = head.len() as u64;
        Ok(())
    }

    /// Writes these changes. After an error the file is as it was, unless that fails too.
    pub(super) fn append(&mut self, changes: &[Mutation], noon: Noon) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut start = begin_frame(&mut bytes);
        for change in changes {
            change.write(&mut bytes, noon);
            if bytes.len() - start >= FRAME_BYTES {
                self.end_frame(&mut bytes, start, noon);
                start = begin_frame(&mut bytes);
            }
        }
        if bytes.len() - start > FRAME_HEAD_BYTES {
            self.end_frame(&mut bytes, start, noon);
        } else {
            bytes.truncate(start);
        }
        let written = (&*self.file).write_all(&bytes);
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            Err(_) => drop(self.file.set_len(self.length)),
        }
        // The buffer of an unusually large batch is given back.
        bytes.shrink_to(FRAME_BYTES);
        self.bytes = bytes;
        written
    }

    fn end_frame(&mut self, bytes: &mut Vec<u8>, start: usize, noon: Noon) {
        self.frames += 1;
        let (head, entries) = bytes[start..].split_at_mut(FRAME_HEAD_BYTES);
        let (length, sum) = (entries.len() as u64, crc32fast::hash(entries));
        head[..8].copy_from_slice(&length.to_be_bytes());
        head[8..16].copy_from_slice(&self.frames.to_be_bytes());
        head[16..24].copy_from_slice(&noon.wall.to_be_bytes());
        head[24..28].copy_from_slice(&sum.to_be_bytes());
        let sum = crc32fast::hash(&head[..28]);
        head[28..].copy_from_slice(&sum.to_be_bytes());
        bytes.push(END);
    }

    /// Frees these changes, and keeps their memory for others unless it is large.
    pub(super) fn keep(&mut self, mut changes: Vec<Mutation>) {
        changes.clear();
        changes.shrink_to(SPARE);
        self.spare = changes;
    }

    /// The file, to flush it without the journal's lock.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

fn begin_frame(bytes: &mut Vec<u8>) -> usize {
    let start = bytes.len();
    bytes.resize(start + FRAME_HEAD_BYTES, 0);
    start
}

/// What reading a journal found, beside its entries.
#[derive(Default)]
pub(super) struct Found {
    /// The length of the journal before this one.
    pub(super) before: u64,
    /// How much of the file is whole frames.
    pub(super) length: u64,
    /// When the last frame was written.
    pub(super) wall: u64,
    /// The first thing that is wrong.
    pub(super) damage: Option<Problem>,
}

/// Reads a journal and hands over the entries of each whole frame. Behind damage it goes on with
/// the next frame that is whole.
pub(super) fn read(path: &Path, generation: u64, mut frame: impl FnMut(&[u8])) -> Found {
    let mut found = Found::default();
    match File::open(path).and_then(|mut file| Ok((length_without_zeros(&mut file)?, file))) {
        Err(error) => found.note(format!("it cannot be read: {error}")),
        Ok((size, file)) => {
            // Most of a large frame is read past the buffer.
            let mut reader = Reader { input: BufReader::new(file), left: size, found: &mut found };
            if let Err(error) = reader.read(generation, &mut frame) {
                found.note(format!("it cannot be read: {error}"));
            }
        }
    }
    found
}

/// The length of the file without the zeros at its end, which no frame ends with. Leaves the file
/// at its beginning.
fn length_without_zeros(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let (size, mut block) = (file.metadata()?.len(), Vec::new());
    let mut end = size;
    while end > 0 {
        let start = (end - 1) / BLOCK * BLOCK;
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    file.rewind()?;
    // The head's sum may end with zeros.
    Ok(end.max(size.min(HEAD_BYTES as u64)))
}

impl Found {
    fn note(&mut self, problem: String) {
        self.damage.get_or_insert(problem);
    }
}

struct Reader<'a, R> {
    input: R,
    left: u64,
    found: &'a mut Found,
}

impl<R: Read> Reader<'_, R> {
    fn read(&mut self, generation: u64, frame: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let size = self.left;
        let mut head = [0; HEAD_BYTES];
        if !self.fill(&mut head)? || (self.left == 0 && read_head(&head).is_none()) {
            // It was being made.
            return Ok(());
        }
        match read_head(&head) {
            Some((number, before)) if number == generation => self.found.before = before,
            Some((number, _)) => self.found.note(format!("it is journal {number} under another name")),
            None => self.found.note("its head is damaged, or of another version".to_owned()),
        }
        self.found.length = HEAD_BYTES as u64;
        let (mut entries, mut last) = (Vec::new(), 0);
        let mut head = [0; FRAME_HEAD_BYTES];
        let mut is_filled = false;
        while is_filled || self.fill(&mut head)? {
            is_filled = false;
            let Some(next) = FrameHead::read(&head).filter(|next| next.number > last) else {
                let at = size - self.left - FRAME_HEAD_BYTES as u64;
                self.found.note(format!("it is damaged at byte {at}"));
                is_filled = self.seek_head(&mut head, last)?;
                if is_filled {
                    continue;
                }
                return Ok(());
            };
            if self.left <= next.length {
                // The process was killed, or the computer lost its power, while this was written.
                return Ok(());
            }
            let at = size - self.left;
            // As large as the file at most.
            entries.resize(usize::try_from(next.length).map_err(io::Error::other)? + 1, 0);
            self.fill(&mut entries)?;
            let (end, whole) = entries.split_last().unwrap_or((&0, &[]));
            if *end != END || crc32fast::hash(whole) != next.sum {
                self.found.note(format!("it is damaged at or after byte {at}"));
                last = next.number;
                continue;
            }
            if next.number != last + 1 {
                self.found.note(format!("frames are missing before byte {at}"));
            }
            last = next.number;
            self.found.wall = self.found.wall.max(next.wall);
            self.found.length = size - self.left;
            frame(whole);
        }
        Ok(())
    }

    /// Fills the buffer, unless the file ends before.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        if self.left < bytes.len() as u64 {
            return Ok(false);
        }
        self.input.read_exact(bytes)?;
        self.left -= bytes.len() as u64;
        Ok(true)
    }

    /// Moves on, byte by byte, to the head of a later frame. `head` holds the bytes before.
    fn seek_head(&mut self, head: &mut [u8; FRAME_HEAD_BYTES], last: u64) -> io::Result<bool> {
        let mut byte = [0];
        while self.fill(&mut byte)? {
            head.rotate_left(1);
            head[FRAME_HEAD_BYTES - 1] = byte[0];
            if FrameHead::read(head).is_some_and(|next| next.number > last) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The generation, and the length of the journal before.
fn read_head(head: &[u8; HEAD_BYTES]) -> Option<(u64, u64)> {
    let mut bytes = &head[..];
    let (magic, format) = (take(&mut bytes)?, take(&mut bytes).map(u32::from_be_bytes)?);
    let (generation, before) = (number(&mut bytes)?, number(&mut bytes)?);
    let sum = take(&mut bytes).map(u32::from_be_bytes)?;
    let is_whole = magic == MAGIC && format == FORMAT && sum == crc32fast::hash(&head[..HEAD_BYTES - 4]);
    is_whole.then_some((generation, before))
}

struct FrameHead {
    length: u64,
    number: u64,
    wall: u64,
    sum: u32,
}

impl FrameHead {
    fn read(head: &[u8; FRAME_HEAD_BYTES]) -> Option<Self> {
        let mut bytes = &head[..];
        let (length, number, wall) = (number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?);
        let (sum, own) = (take(&mut bytes).map(u32::from_be_bytes)?, take(&mut bytes).map(u32::from_be_bytes)?);
        (own == crc32fast::hash(&head[..FRAME_HEAD_BYTES - 4])).then_some(Self { length, number, wall, sum })
    }
}
