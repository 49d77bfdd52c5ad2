//! Contents beyond 4 GiB: zeros up to there, then noise. Offsets and lengths of 32 bits would overflow.

mod support;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::process::Command;

use ibt::delta::{Command as DeltaCommand, Commands, DeltaWriter, Params, Plan, Signature, Signer, patch};
use support::noise;

/// The offset of the noise, a multiple of the block length.
const FAR: u64 = (1 << 32) + (3 << 16);
const PARAMS: Params = Params { block_len: 1 << 16, strong_len: 16 };
const TAIL: usize = 5 << 16;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

fn sign(content: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(PARAMS, Vec::new()).unwrap();
    signer.update(content).unwrap();
    signer.finish().unwrap()
}

/// The signature of the zeros and `tail`. One block of zeros is hashed, and its sums are repeated.
fn far_signature(tail: &[u8]) -> Vec<u8> {
    let mut signature = sign(&ZEROS);
    let zeros = signature.split_off(12);
    signature.extend(zeros.repeat((FAR >> 16) as usize));
    signature.extend_from_slice(&sign(tail)[12..]);
    signature
}

fn commands(delta: &[u8], basis_len: u64) -> Vec<DeltaCommand> {
    let mut commands = Commands::new(delta, basis_len, u64::MAX).unwrap();
    std::iter::from_fn(|| commands.next().unwrap()).collect()
}

#[test]
fn blocks_beyond_4_gib_are_copied_from_there() {
    let tail = noise(1, TAIL);
    let (basis_len, bytes) = (FAR + TAIL as u64, far_signature(&tail));
    let signature = Signature::parse(&bytes).unwrap();
    let new = [&noise(2, 100)[..], &tail[1 << 16..], &tail[..1 << 16], &ZEROS].concat();
    let mut writer = DeltaWriter::new(&signature, basis_len, Vec::new()).unwrap();
    new.chunks(5000).for_each(|piece| writer.update(piece).unwrap());
    let ours = writer.finish().unwrap();
    let from_afar = |command: &DeltaCommand| matches!(command, DeltaCommand::Copy { offset, .. } if *offset > u64::from(u32::MAX));
    assert!(ours.len() < 200 && commands(&ours, basis_len).iter().any(from_afar));

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let rdiff = |args: &[&str]| {
        let status = Command::new("rdiff").args(args).current_dir(dir.path()).status();
        assert!(status.expect("rdiff is installed").success());
    };
    let basis = std::fs::File::create_new(at("basis")).unwrap();
    basis.write_all_at(&tail, FAR).unwrap();
    for (name, bytes) in [("ours", &ours), ("sig", &bytes), ("new", &new)] {
        std::fs::write(at(name), bytes).unwrap();
    }
    rdiff(&["delta", "sig", "new", "theirs"]);
    rdiff(&["patch", "basis", "ours", "made"]);
    assert!(std::fs::read(at("made")).unwrap() == new);

    let mut basis = std::fs::File::open(at("basis")).unwrap();
    for delta in [ours, std::fs::read(at("theirs")).unwrap()] {
        let mut made = Vec::new();
        patch(&mut basis, &mut &delta[..], basis_len, &mut made, new.len() as u64).unwrap();
        assert!(made == new);
        made.clear();
        let plan = Plan::whole(basis_len).apply(1, &delta[..], new.len() as u64, 100).unwrap();
        for piece in plan.pieces() {
            let (start, len) = (made.len(), piece.len as usize);
            made.resize(start + len, 0);
            match piece.source {
                0 => basis.read_exact_at(&mut made[start..], piece.offset).unwrap(),
                _ => made[start..].copy_from_slice(&delta[piece.offset as usize..][..len]),
            }
        }
        assert!(made == new);
    }
}

/// Zeros up to [`FAR`], then `tail`. Reads produce the bytes, and writes compare them.
struct Far<'t> {
    tail: &'t [u8],
    at: u64,
}

impl Read for Far<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = match self.at.checked_sub(FAR) {
            Some(at) => (&self.tail[at as usize..]).read(out)?,
            None => {
                let len = out.len().min((FAR - self.at).min(1 << 20) as usize);
                out[..len].fill(0);
                len
            }
        };
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Far<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}

impl Write for Far<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (len, same) = match self.at.checked_sub(FAR) {
            Some(at) => (bytes.len(), self.tail[at as usize..].starts_with(bytes)),
            None => {
                let len = bytes.len().min((FAR - self.at) as usize).min(ZEROS.len());
                (len, bytes[..len] == ZEROS[..len])
            }
        };
        assert!(same, "other bytes at {}", self.at);
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_content_longer_than_4_gib_is_signed_changed_and_patched() {
    let tail = noise(1, TAIL);
    let new_tail = [b"inserted", &tail[..]].concat();
    let (basis_len, new_len) = (FAR + TAIL as u64, FAR + new_tail.len() as u64);
    let signature = Signature::parse(&far_signature(&tail)).unwrap();
    let mut writer =
        DeltaWriter::with_signature(&signature, basis_len, PARAMS, Vec::new(), Vec::new()).unwrap();
    let zeros = vec![0; 1 << 20];
    for at in (0..FAR).step_by(zeros.len()) {
        writer.update(&zeros[..zeros.len().min((FAR - at) as usize)]).unwrap();
    }
    writer.update(&new_tail).unwrap();
    let (delta, sums) = writer.finish_both().unwrap();
    assert!(sums.unwrap() == far_signature(&new_tail));

    let commands = commands(&delta, basis_len);
    let literal = commands.iter().filter_map(|command| match command {
        DeltaCommand::Literal { len, .. } => Some(*len),
        DeltaCommand::Copy { .. } => None,
    });
    assert_eq!(literal.sum::<u64>(), 8, "{:?}", &commands[..commands.len().min(9)]);
    let mut made = Far { tail: &new_tail, at: 0 };
    patch(&mut Far { tail: &tail, at: 0 }, &mut &delta[..], basis_len, &mut made, new_len).unwrap();
    assert_eq!(made.at, new_len);
}
