//! The writer of a snapshot, chunk by chunk.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use super::format::{CHUNK_BYTES, FORMAT, MAGIC, Noon, write_session};
use crate::memory::shard::ShardCopy;

pub(super) struct Writer<W> {
    out: W,
    noon: Noon,
    /// Covers everything so far, other sums left out.
    hash: Sha256,
    /// Sessions that are not written yet.
    chunk: Vec<u8>,
    sessions: usize,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(out: W, noon: Noon, base: u64) -> io::Result<Self> {
        let chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        let mut writer = Self { out, noon, hash: Sha256::new(), chunk, sessions: 0, bytes: 0 };
        writer.put(&[&MAGIC, &FORMAT.to_be_bytes(), &noon.wall.to_be_bytes(), &base.to_be_bytes()])?;
        Ok(writer)
    }

    pub(super) fn shard(&mut self, shard: &ShardCopy) -> io::Result<()> {
        for session in &shard.sessions {
            write_session(&mut self.chunk, session, self.noon);
            self.sessions += 1;
            if self.chunk.len() >= CHUNK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the file; returns how many sessions it holds, and its size in bytes.
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
