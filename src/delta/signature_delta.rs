//! Makes the delta of a signature against an older signature of the same file. The delta has librsync's format, so
//! `rdiff patch` can make the new signature from the old signature.
//!
//! A record of a signature is the weak sum and the strong sum of one block. A block that did not change has the same
//! record in both signatures. So equal records become copies, from any place in the old signature, and all other
//! records become literals.

use std::io::{self, Write};

use super::encode::Encoder;
use super::params::{SIGNATURE_HEADER, valid_strong_len};
use super::signature::be32;

/// Marks a free place of the index.
const FREE: u32 = u32::MAX;
/// The most places of the index that are tried for one record. Different records rarely have strong sums with the same
/// beginning, unless the records are forged.
const PROBES_MAX: usize = 8;

/// Makes the delta of a new signature, whose bytes the caller passes in pieces.
pub struct SignatureDelta<'o, W> {
    old: &'o [u8],
    /// Bytes of a record: a weak sum and a strong sum.
    record_len: usize,
    encoder: Encoder<W>,
    /// The numbers of old records, by their strong sums. Empty until a record is found neither at `likely` nor at its
    /// own offset.
    index: Vec<u32>,
    /// The offset in `old` that follows the record that was copied last.
    likely: usize,
    /// Bytes of the new signature so far, without those in `partial`.
    at: usize,
    /// The first bytes of a record. The caller has not passed the other bytes of the record yet.
    partial: Vec<u8>,
}

impl<'o, W: Write> SignatureDelta<'o, W> {
    /// Begins a delta against `old`. `None` if `old` has no header of a signature, or 4 GiB or more: then the numbers
    /// of its records might not fit 32 bits.
    pub fn new(old: &'o [u8], out: W) -> Option<Self> {
        let strong_len = be32(old.get(8..SIGNATURE_HEADER as usize)?);
        let is_possible = valid_strong_len(strong_len) && old.len() < FREE as usize;
        is_possible.then(|| SignatureDelta {
            old,
            record_len: 4 + strong_len as usize,
            encoder: Encoder::new(out),
            index: Vec::new(),
            likely: 0,
            at: 0,
            partial: Vec::new(),
        })
    }

    /// Adds the next bytes of the new signature.
    pub fn update(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wanted = if self.at == 0 { SIGNATURE_HEADER as usize } else { self.record_len };
            if self.partial.is_empty() && bytes.len() >= wanted {
                let (record, later) = bytes.split_at(wanted);
                self.record(record)?;
                bytes = later;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(wanted - self.partial.len()));
            self.partial.extend_from_slice(now);
            bytes = later;
            if self.partial.len() == wanted {
                let record = std::mem::take(&mut self.partial);
                self.record(&record)?;
            }
        }
        Ok(())
    }

    /// Writes the end of the delta and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.encoder.literal(&self.partial)?;
        self.encoder.finish()
    }

    /// Adds a record, or the header.
    fn record(&mut self, record: &[u8]) -> io::Result<()> {
        let found = match self.at {
            0 => self.old.starts_with(record).then_some(0),
            _ => self.find(record),
        };
        self.at += record.len();
        match found {
            Some(offset) => {
                self.likely = offset + record.len();
                self.encoder.copy(offset as u64, record.len() as u64)
            }
            None => self.encoder.literal(record),
        }
    }

    /// The offset of an equal record of the old signature. Tries first the record that continues the last copy, then
    /// the record at the same offset.
    fn find(&mut self, record: &[u8]) -> Option<usize> {
        let is_equal = |offset: &usize| self.old.get(*offset..*offset + record.len()) == Some(record);
        if let Some(found) = [self.likely, self.at].into_iter().find(is_equal) {
            return Some(found);
        }
        if self.index.is_empty() {
            self.index = index(self.old, self.record_len);
        }
        let places = places(record, self.index.len()).map(|place| self.index[place]);
        places
            .take_while(|&number| number != FREE)
            .map(|number| offset_of(number, self.record_len))
            .find(is_equal)
    }
}

fn offset_of(number: u32, record_len: usize) -> usize {
    SIGNATURE_HEADER as usize + number as usize * record_len
}

/// The places of the index that may have the number of a record. `places` is a power of two.
fn places(record: &[u8], places: usize) -> impl Iterator<Item = usize> {
    let sum = &record[4..];
    let key = sum.iter().take(8).fold(0, |key: usize, &byte| key << 8 | usize::from(byte));
    (0..PROBES_MAX).map(move |probe| key.wrapping_add(probe) & (places - 1))
}

/// A hash table with the number of each record of a signature. Of equal records it has only the first. Takes 8 to 16
/// bytes for each record.
fn index(signature: &[u8], record_len: usize) -> Vec<u32> {
    let records = signature[SIGNATURE_HEADER as usize..].chunks_exact(record_len);
    let mut index = vec![FREE; (2 * records.len()).next_power_of_two()];
    for (number, record) in (0u32..).zip(records) {
        for place in places(record, index.len()) {
            let taken = index[place];
            if taken == FREE {
                index[place] = number;
                break;
            }
            let offset = offset_of(taken, record_len);
            if signature[offset..offset + record_len] == *record {
                break;
            }
        }
    }
    index
}
