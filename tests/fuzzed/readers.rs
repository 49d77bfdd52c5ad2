//! What must hold for each reader of foreign bytes, whatever the bytes are. Tests with random bytes and the targets of
//! the fuzzer use the same functions. The crate root has the module `allocated`.

use std::io::Cursor;
use std::sync::Arc;

use ibt::delta::{self, Command, Commands, DeltaWriter, Params, Plan, Signature, Signer};
use ibt::error::{Error, Kind};
use ibt::format::frame::read_beginning;
use ibt::format::{FrameIndex, FrameWriter, read_stream};
use ibt::job::Codec;
use ibt::pool::Pool;

use crate::allocated::within;

/// The error of bad stored bytes. It must name their file.
pub fn assert_corrupt(error: &Error) {
    assert!(error.kind == Kind::Corrupt && !error.is_own, "{error} ({:?})", error.kind);
    assert!(error.to_string().contains("f.zst"), "{error}");
}

/// A file with these bytes in frames of `frame_len` bytes.
pub fn packed(data: &[u8], frame_len: usize) -> Vec<u8> {
    let pool = Arc::new(Pool::new(1).unwrap());
    let mut writer = FrameWriter::new(Vec::new(), Codec::Zstd(1), pool).with_frame_len(frame_len);
    writer.write(data).unwrap();
    writer.finish().unwrap().out
}

/// The longest frame that a reader accepts, in bytes.
pub const FRAME_MAX: usize = 64 << 20;
/// Bytes of a reader's buffers, for any input.
pub const BUFFERS: usize = 1 << 20;

/// The stream of a possibly bad file up to the first error, and the result of reading it.
pub fn stream(file: &[u8], size: u64) -> (Result<(), Error>, Vec<u8>) {
    let mut got = Vec::new();
    let read = read_stream(&mut &*file, "f.zst", size, true, None, &mut |piece| {
        got.extend_from_slice(piece);
        Ok(())
    });
    (read, got)
}

/// Checks that the answers of an index agree with each other.
pub fn assert_consistent(index: &FrameIndex, size: u64) {
    let (mut stored, mut plain) = (0, 0);
    for frame in 0..index.count() {
        assert_eq!((index.stored(frame).start, index.span(frame).start), (stored, plain), "frame {frame}");
        (stored, plain) = (index.stored(frame).end, index.span(frame).end);
        assert!(index.span(frame).start < plain && plain - index.span(frame).start <= FRAME_MAX as u64);
        assert_eq!(index.locate(index.span(frame).start), Some(frame));
        assert_eq!(index.locate(plain - 1), Some(frame));
    }
    assert!(stored < size && plain == index.stream_len());
    assert_eq!(index.locate(plain), None);
    assert_eq!(index.frames_in(0, u64::MAX), index.count());
    for past in [index.count(), index.count() + 1, usize::MAX] {
        assert!(index.span(past).is_empty() && index.stored(past).is_empty());
    }
    assert!(index.check_range(plain, 1).is_err() && index.check_range(1, u64::MAX).is_err());
}

/// Reads a possibly bad file in every way.
pub fn assert_file_is_read_or_refused(file: &[u8], size: u64) {
    // A table entry of 8 bytes takes 16 bytes in memory, and up to three times as many while the memory grows.
    let table_max = BUFFERS + 6 * file.len();
    let index = within(table_max, || FrameIndex::open(&mut &*file, "f.zst", size, true));
    let frame_max = table_max + FRAME_MAX + file.len();
    let (read, got) = stream(file, size);
    let begun = within(BUFFERS, || read_beginning(&mut &*file, "f.zst", size, true, &mut |_| true));
    begun.err().iter().for_each(assert_corrupt);
    match index {
        Err(error) => assert_corrupt(&error),
        Ok(index) => {
            assert_consistent(&index, size);
            let mut by_frame = Vec::new();
            let mut refused = None;
            for frame in 0..index.count() {
                let bytes =
                    within(frame_max, || index.fetch(&mut &*file, frame).and_then(|frame| frame.bytes()));
                match bytes {
                    Ok(bytes) => by_frame.extend_from_slice(&bytes),
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            assert_eq!(refused.is_some(), read.is_err());
            assert!(by_frame == got, "a stream is its frames");
        }
    }
    match read {
        Err(error) => assert_corrupt(&error),
        Ok(()) => {
            let again = packed(&got, 1000);
            let (read, same) = stream(&again, again.len() as u64);
            assert!(read.is_ok() && same == got, "what was read is written again");
        }
    }
}

pub fn signature(content: &[u8], params: Params) -> Vec<u8> {
    let mut signer = Signer::new(params, Vec::new()).unwrap();
    signer.update(content).unwrap();
    signer.finish().unwrap()
}

/// A possibly bad signature is refused, or it can be used to make a delta. That delta makes as many bytes as it was
/// made from.
pub fn assert_signature_is_used_or_refused(bytes: &[u8], tail: u64, new: &[u8]) {
    let parsed = within(BUFFERS + 16 * bytes.len(), || Signature::parse(bytes));
    let signature = match parsed {
        Ok(signature) => signature,
        Err(error) => {
            assert!(!matches!(error, delta::Error::Io(_)), "{error}");
            return;
        }
    };
    let (blocks, block_len) = (signature.blocks(), u64::from(signature.block_len()));
    assert!((1..=32).contains(&signature.strong_len()) && (1..1 << 31).contains(&block_len));
    assert_eq!(bytes.len() as u64, 12 + blocks * (4 + u64::from(signature.strong_len())));
    let basis_len = (blocks * block_len).saturating_sub(tail % block_len);
    for wrong in [(blocks + 1) * block_len, (blocks.saturating_sub(1) * block_len).wrapping_sub(1)] {
        let refused = DeltaWriter::new(&signature, wrong, Vec::new()).err();
        assert!(matches!(refused, Some(delta::Error::BlockCount { .. })));
    }
    let params = Params { block_len: block_len as u32, strong_len: 16 };
    let most = BUFFERS + 32 * new.len() + bytes.len();
    let made = within(most, || {
        let mut writer =
            DeltaWriter::with_signature(&signature, basis_len, params, Vec::new(), Vec::new()).unwrap();
        new.chunks(777).for_each(|piece| writer.update(piece).unwrap());
        writer.finish_both().unwrap()
    });
    assert!(
        made.1.unwrap() == self::signature(new, params),
        "the new signature depends on the new bytes alone"
    );
    let plan = Plan::whole(basis_len).apply(1, &made.0[..], new.len() as u64, usize::MAX).unwrap();
    assert_eq!(plan.content_len(), new.len() as u64);
}

/// A command with its encoding in a delta. Its lengths may be wrong. A class is the size of an integer: 2^class
/// bytes. Class 4 is a literal whose length is the command byte.
#[derive(Clone, Debug)]
pub enum Spelled {
    Literal { class: u8, len: u64, bytes: Vec<u8> },
    Copy { classes: (u8, u8), offset: u64, len: u64 },
    End,
}

/// Length of the basis that deltas are applied to.
pub const BASIS: usize = 300;
/// The longest content that a delta may make.
pub const MADE_MAX: u64 = 2000;

pub fn spell(commands: &[Spelled]) -> Vec<u8> {
    let mut out = 0x7273_0236u32.to_be_bytes().to_vec();
    let int = |out: &mut Vec<u8>, class: u8, value: u64| {
        out.extend_from_slice(&value.to_be_bytes()[8 - (1 << class)..]);
    };
    for command in commands {
        match command {
            Spelled::Literal { class: 4, len, bytes } => {
                out.push((len % 65) as u8);
                out.extend_from_slice(bytes);
            }
            Spelled::Literal { class, len, bytes } => {
                out.push(0x41 + class);
                int(&mut out, *class, *len);
                out.extend_from_slice(bytes);
            }
            Spelled::Copy { classes: (of_offset, of_len), offset, len } => {
                out.push(0x45 + 4 * of_offset + of_len);
                int(&mut out, *of_offset, *offset);
                int(&mut out, *of_len, *len);
            }
            Spelled::End => out.push(0),
        }
    }
    out
}

/// The content that a delta makes, by a plain reading of the format. `None` if the delta is bad.
pub fn made_of(delta: &[u8], basis: &[u8], most: u64) -> Option<Vec<u8>> {
    let (mut rest, mut out) = (delta.strip_prefix(b"rs\x026")?, Vec::new());
    let int = |rest: &mut &[u8], class: u8| {
        let (head, tail) = rest.split_at_checked(1 << class)?;
        *rest = tail;
        Some(head.iter().fold(0u128, |value, byte| value * 256 + u128::from(*byte)))
    };
    loop {
        let (&op, tail) = rest.split_first()?;
        rest = tail;
        let made: &[u8] = match op {
            0 => return rest.is_empty().then_some(out),
            0x01..=0x44 => {
                let len = if op <= 0x40 { u128::from(op) } else { int(&mut rest, op - 0x41)? };
                let (bytes, tail) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                rest = tail;
                bytes
            }
            0x45..=0x54 => {
                let (offset, len) = (int(&mut rest, (op - 0x45) / 4)?, int(&mut rest, (op - 0x45) % 4)?);
                basis.get(usize::try_from(offset).ok()?..usize::try_from(offset + len).ok()?)?
            }
            _ => return None,
        };
        out.extend_from_slice(made);
        if made.is_empty() || out.len() as u64 > most {
            return None;
        }
    }
}

/// Reads the commands of a delta and writes them again.
pub fn respelled(delta: &[u8]) -> delta::Result<Vec<u8>> {
    let mut commands = Commands::new(delta, BASIS as u64, MADE_MAX)?;
    let mut again = Vec::new();
    while let Some(command) = commands.next()? {
        again.push(match command {
            Command::Copy { offset, len } => Spelled::Copy { classes: (1, 1), offset, len },
            Command::Literal { len, .. } => {
                let mut bytes = Vec::new();
                commands.write_literal(&mut bytes)?;
                Spelled::Literal { class: 1, len, bytes }
            }
        });
    }
    again.push(Spelled::End);
    Ok(spell(&again))
}

/// A possibly bad delta: every reader of deltas agrees with the plain reading.
pub fn assert_delta_is_applied_or_refused(delta: &[u8], basis: &[u8]) {
    let expected = made_of(delta, basis, MADE_MAX);
    let most = BUFFERS + 4 * MADE_MAX as usize;
    let made = within(most, || {
        let mut out = Vec::new();
        let basis_len = basis.len() as u64;
        delta::patch_up_to(&mut Cursor::new(basis), &mut &*delta, basis_len, &mut out, MADE_MAX).map(|_| out)
    });
    made.as_ref().err().iter().for_each(|error| assert!(!matches!(error, delta::Error::Io(_)), "{error}"));
    assert!(made.ok() == expected, "patched");
    let whole = Plan::whole(basis.len() as u64);
    let plan = within(BUFFERS + 100 * delta.len(), || whole.apply(1, delta, MADE_MAX, usize::MAX));
    let by_plan = plan.ok().map(|plan| {
        let source = |piece: &delta::Piece| if piece.source == 0 { basis } else { delta };
        let bytes = |piece: &delta::Piece| {
            source(piece)[piece.offset as usize..(piece.offset + piece.len) as usize].to_vec()
        };
        plan.pieces().iter().flat_map(bytes).collect::<Vec<u8>>()
    });
    assert!(by_plan == expected, "planned");
    for short in 0..4 {
        let capped = whole.apply(1, delta, MADE_MAX, short);
        assert!(
            capped.is_err() || (expected.is_some() && capped.is_ok_and(|plan| plan.pieces().len() <= short))
        );
    }
    assert_eq!(respelled(delta).is_ok(), expected.is_some());
    if let (Ok(again), Some(expected)) = (respelled(delta), expected) {
        assert!(made_of(&again, basis, MADE_MAX) == Some(expected), "what was read is written again");
    }
}
