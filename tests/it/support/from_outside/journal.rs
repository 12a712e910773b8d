//! The journal of a store, beside a snapshot that is whole: what is read of it is sound.

use std::fs;

use super::snapshot::{Folder, check_files, file, some_sessions};

/// The rest is a journal of generation 0.
const WHOLE: u8 = 0;
/// The rest is a journal, but for its sums, numbers and ends, which are put right: so that more of
/// it is read than its first damaged part.
const UNSEALED: u8 = 1;
// Everything else: the entries of one frame.

const HEAD: usize = 32;
const END: u8 = 0xa5;

pub fn check(bytes: &[u8]) {
    let Some(journal) = journal(bytes) else { return };
    check_files(&file(&[&[2], &[0; 16][..]].concat()).unwrap(), 0, &journal);
}

/// The journal that such bytes stand for.
fn journal(bytes: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = bytes.split_first()?;
    let mut journal = rest.to_vec();
    match *kind {
        WHOLE => {}
        UNSEALED => seal(&mut journal),
        _ => {
            let length = (rest.len() as u64).to_be_bytes();
            journal = [&[0; HEAD], &length[..], &[0; 24], rest, &[END]].concat();
            seal(&mut journal);
        }
    }
    Some(journal)
}

/// Puts right the head, and of each frame what its length leads to.
fn seal(journal: &mut [u8]) {
    let sum = |bytes: &[u8]| crc32fast::hash(bytes).to_be_bytes();
    let Some((head, mut rest)) = journal.split_at_mut_checked(HEAD) else { return };
    head.copy_from_slice(&[&b"lembroj\n\0\0\0\x01"[..], &[0; 20]].concat());
    let own = sum(&head[..HEAD - 4]);
    head[HEAD - 4..].copy_from_slice(&own);
    for number in 1_u64.. {
        let Some((head, after)) = rest.split_at_mut_checked(HEAD) else { return };
        let length = head.first_chunk().map_or(0, |length| u64::from_be_bytes(*length));
        let Some((entries, after)) = usize::try_from(length).ok().and_then(|length| after.split_at_mut_checked(length))
        else {
            return;
        };
        head[8..16].copy_from_slice(&number.to_be_bytes());
        head[24..28].copy_from_slice(&sum(entries));
        let own = sum(&head[..28]);
        head[28..].copy_from_slice(&own);
        let Some((end, after)) = after.split_first_mut() else { return };
        *end = END;
        rest = after;
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let journals = [0, 1, 5].map(|sessions| {
        let folder = Folder::new();
        drop(some_sessions(sessions, &folder));
        let mut journal = fs::read(folder.journal(1)).unwrap();
        // Of generation 0 from here on.
        seal(&mut journal);
        journal
    });
    // All entries in one frame.
    let entries = |journal: &[u8]| {
        let (mut rest, mut all) = (&journal[HEAD..], Vec::new());
        while let Some(length) = rest.first_chunk().map(|length| usize::try_from(u64::from_be_bytes(*length)).unwrap())
        {
            all.extend(&rest[HEAD..HEAD + length]);
            rest = &rest[HEAD + length + 1..];
        }
        all
    };
    let kinds = journals.iter().flat_map(|journal| {
        [
            [&[WHOLE], &journal[..]].concat(),
            [&[UNSEALED], &journal[..]].concat(),
            [&[2], &entries(journal)[..]].concat(),
        ]
    });
    kinds.collect()
}
