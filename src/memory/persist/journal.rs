//! The journal: a file of frames that hold the changes since the snapshot, in order.
//!
//! ```text
//! file   = head · frame*
//! head   = magic (8) · format (4) · generation (8) · length of the previous journal (8) · sum
//! frame  = length of its entries (8) · number (8) · written at (8) · sum of the entries · sum
//!          · entry* · end (1)
//! entry  = 1 · handle (8) · length of the row (8) · row       a commit: the whole next row
//!        | 2 · handle (8) · version (8)                       the end of an incarnation
//!        | 3 · handle (8) · version (8) · deadline (8)        a touch
//!        | 4 · epoch (8) · length of the owner (8) · owner    "log out everywhere"
//!        | 5 · epoch (8)                                      the epoch of all other owners
//!        | 6 · handle (8) · digest of the secret (16) · reason (1)   why a session ended
//! sum    = CRC-32 of the bytes before it in the head of the file or frame (4)
//! ```
//!
//! A journal begins with entries of the kinds 4 to 6: the epochs and the end reasons that the store
//! remembers at that time. Numbers are big-endian. Times are nanoseconds since 1970. Frames are
//! numbered from 1. A row has the layout of `Entry::to_bytes`.
//!
//! If a process is killed while it writes, the file can end with an incomplete frame. If the
//! computer loses power, the file can end with zeros. Such a write was not completed or not
//! flushed, so the reader ignores it. The last byte of a frame is not zero, so that a complete
//! frame differs from zeros. The reader reports everything else that is invalid as damage.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::encoding::{ClockAnchor, Mutation, number};
use super::files::{Problem, StoreFiles};
use crate::store::take;
use crate::sync::Arc;

/// The first bytes of the file. The line end in them shows if line ends were converted.
const MAGIC: [u8; 8] = *b"lembroj\n";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 32;
const END: u8 = 0xa5;

/// When a frame has at least this many bytes, the next change begins another frame.
const FRAME_BYTES: usize = 1 << 20;

/// The maximum capacity that a reused queue keeps.
const MAX_SPARE_CAPACITY: usize = 4096;

/// A journal that is being written.
pub(super) struct Journal {
    file: Arc<File>,
    pub(super) generation: u64,
    pub(super) length: u64,
    frames: u64,
    /// True if a part of the file was not flushed to the disk.
    pub(super) is_dirty: bool,
    /// A buffer for frames, which is reused.
    bytes: Vec<u8>,
    /// An empty queue for the next changes.
    pub(super) spare_queue: Vec<Mutation>,
}

impl Journal {
    /// Creates the file, and flushes the folder so that the file's name is on the disk.
    pub(super) fn create(files: &StoreFiles, generation: u64) -> io::Result<Self> {
        let file = Arc::new(StoreFiles::create(&files.journal(generation))?);
        files.sync_folder()?;
        let (bytes, spare_queue) = (Vec::new(), Vec::new());
        Ok(Self { file, generation, length: 0, frames: 0, is_dirty: false, bytes, spare_queue })
    }

    /// Writes the head.
    pub(super) fn begin(&mut self, previous_length: u64) -> io::Result<()> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend(MAGIC);
        head.extend(FORMAT.to_be_bytes());
        head.extend(self.generation.to_be_bytes());
        head.extend(previous_length.to_be_bytes());
        head.extend(crc32fast::hash(&head).to_be_bytes());
        (&*self.file).write_all(&head)?;
        self.length = head.len() as u64;
        Ok(())
    }

    /// Writes these changes with one system call. After an error, the file is cut to its previous
    /// length.
    pub(super) fn append(&mut self, changes: &[Mutation], anchor: ClockAnchor) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut start = begin_frame(&mut bytes);
        for change in changes {
            change.write(&mut bytes, anchor);
            if bytes.len() - start >= FRAME_BYTES {
                self.end_frame(&mut bytes, start, anchor);
                start = begin_frame(&mut bytes);
            }
        }
        if bytes.len() - start > FRAME_HEAD_BYTES {
            self.end_frame(&mut bytes, start, anchor);
        } else {
            bytes.truncate(start);
        }
        let written = (&*self.file).write_all(&bytes);
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            Err(_) => drop(self.file.set_len(self.length)),
        }
        // An unusually large buffer is freed.
        bytes.shrink_to(FRAME_BYTES);
        self.bytes = bytes;
        written
    }

    fn end_frame(&mut self, bytes: &mut Vec<u8>, start: usize, anchor: ClockAnchor) {
        self.frames += 1;
        let (head, entries) = bytes[start..].split_at_mut(FRAME_HEAD_BYTES);
        let (length, sum) = (entries.len() as u64, crc32fast::hash(entries));
        head[..8].copy_from_slice(&length.to_be_bytes());
        head[8..16].copy_from_slice(&self.frames.to_be_bytes());
        head[16..24].copy_from_slice(&anchor.calendar.to_be_bytes());
        head[24..28].copy_from_slice(&sum.to_be_bytes());
        let sum = crc32fast::hash(&head[..28]);
        head[28..].copy_from_slice(&sum.to_be_bytes());
        bytes.push(END);
    }

    /// Drops these changes, and keeps at most [`MAX_SPARE_CAPACITY`] of their memory for the next
    /// ones.
    pub(super) fn recycle(&mut self, mut changes: Vec<Mutation>) {
        changes.clear();
        changes.shrink_to(MAX_SPARE_CAPACITY);
        self.spare_queue = changes;
    }

    /// Returns the file, which the caller can flush without the journal's lock.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

fn begin_frame(bytes: &mut Vec<u8>) -> usize {
    let start = bytes.len();
    bytes.resize(start + FRAME_HEAD_BYTES, 0);
    start
}

/// The content of a journal except its entries.
#[derive(Default)]
pub(super) struct JournalSummary {
    /// The length of the previous journal when this one began.
    pub(super) previous_length: u64,
    /// The length of the file up to the end of the last complete frame.
    pub(super) length: u64,
    /// When the last frame was written.
    pub(super) last_written: u64,
    /// The first damage.
    pub(super) damage: Option<Problem>,
}

/// Reads a journal and calls `frame` with the entries of each whole frame. After damage, it
/// continues with the next whole frame.
pub(super) fn read(path: &Path, generation: u64, mut frame: impl FnMut(&[u8])) -> JournalSummary {
    let mut summary = JournalSummary::default();
    match File::open(path).and_then(|mut file| Ok((length_without_zeros(&mut file)?, file))) {
        Err(error) => summary.add_damage(format!("it cannot be read: {error}")),
        Ok((size, file)) => {
            let mut reader = JournalReader { input: BufReader::new(file), left: size, summary: &mut summary };
            if let Err(error) = reader.read(generation, &mut frame) {
                summary.add_damage(format!("it cannot be read: {error}"));
            }
        }
    }
    summary
}

/// Returns the length of the file without the zeros at its end, and rewinds the file. No frame ends
/// with a zero.
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

impl JournalSummary {
    fn add_damage(&mut self, problem: String) {
        self.damage.get_or_insert(problem);
    }
}

struct JournalReader<'a, R> {
    input: R,
    /// The number of bytes of the file that are not read yet.
    left: u64,
    summary: &'a mut JournalSummary,
}

impl<R: Read> JournalReader<'_, R> {
    fn read(&mut self, generation: u64, frame: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let size = self.left;
        let mut head = [0; HEAD_BYTES];
        if !self.fill(&mut head)? || (self.left == 0 && read_head(&head).is_none()) {
            // The process was killed while it created this journal.
            return Ok(());
        }
        match read_head(&head) {
            Some((number, length)) if number == generation => self.summary.previous_length = length,
            Some((number, _)) => self.summary.add_damage(format!("it is journal {number} under another name")),
            None => self.summary.add_damage("its head is damaged, or of another version".to_owned()),
        }
        self.summary.length = HEAD_BYTES as u64;
        let (mut entries, mut last) = (Vec::new(), 0);
        let mut head = [0; FRAME_HEAD_BYTES];
        let mut is_filled = false;
        while is_filled || self.fill(&mut head)? {
            is_filled = false;
            let Some(next) = FrameHead::read(&head).filter(|next| next.number > last) else {
                let at = size - self.left - FRAME_HEAD_BYTES as u64;
                self.summary.add_damage(format!("it is damaged at byte {at}"));
                is_filled = self.seek_head(&mut head, last)?;
                if is_filled {
                    continue;
                }
                return Ok(());
            };
            if self.left <= next.length {
                // The process was killed, or the computer lost its power, while it wrote this
                // frame.
                return Ok(());
            }
            let at = size - self.left;
            // The buffer is not larger than the file, because the length was checked above.
            entries.resize(usize::try_from(next.length).map_err(io::Error::other)? + 1, 0);
            self.fill(&mut entries)?;
            let (end, whole) = entries.split_last().unwrap_or((&0, &[]));
            if *end != END || crc32fast::hash(whole) != next.sum {
                self.summary.add_damage(format!("it is damaged at or after byte {at}"));
                last = next.number;
                continue;
            }
            if next.number != last + 1 {
                self.summary.add_damage(format!("frames are missing before byte {at}"));
            }
            last = next.number;
            self.summary.last_written = self.summary.last_written.max(next.written_at);
            self.summary.length = size - self.left;
            frame(whole);
        }
        Ok(())
    }

    /// Fills the buffer. If the file has fewer bytes left, reads nothing and returns false.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        if self.left < bytes.len() as u64 {
            return Ok(false);
        }
        self.input.read_exact(bytes)?;
        self.left -= bytes.len() as u64;
        Ok(true)
    }

    /// Searches byte by byte for the head of a later frame, and returns true if there is one.
    /// `head` holds the last bytes that were read.
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

/// Reads the generation, and the length of the previous journal. `None`: the head is invalid.
fn read_head(head: &[u8; HEAD_BYTES]) -> Option<(u64, u64)> {
    let mut bytes = &head[..];
    let (magic, format) = (take(&mut bytes)?, take(&mut bytes).map(u32::from_be_bytes)?);
    let (generation, previous_length) = (number(&mut bytes)?, number(&mut bytes)?);
    let sum = take(&mut bytes).map(u32::from_be_bytes)?;
    let is_whole = magic == MAGIC && format == FORMAT && sum == crc32fast::hash(&head[..HEAD_BYTES - 4]);
    is_whole.then_some((generation, previous_length))
}

struct FrameHead {
    length: u64,
    number: u64,
    written_at: u64,
    sum: u32,
}

impl FrameHead {
    fn read(head: &[u8; FRAME_HEAD_BYTES]) -> Option<Self> {
        let mut bytes = &head[..];
        let (length, number, written_at) = (number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?);
        let (sum, own) = (take(&mut bytes).map(u32::from_be_bytes)?, take(&mut bytes).map(u32::from_be_bytes)?);
        (own == crc32fast::hash(&head[..FRAME_HEAD_BYTES - 4])).then_some(Self { length, number, written_at, sum })
    }
}
