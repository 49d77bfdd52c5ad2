//! `ibt::delta` compared with librsync: the tool `rdiff` (2.3) and the crate `librsync` (which contains
//! 2.2.2). The crate compiles on the machines below only.
#![cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]

mod support;

use std::ffi::OsStr;
use std::io::{BufReader, Cursor, Read};
use std::process::Command;

use ibt::delta::{DeltaWriter, Error, FineSearch, Params, Plan, Signature, Signer, fine_delta, patch};
use librsync::SignatureType;
use proptest::prelude::*;
use support::cases;

/// `len` bytes without repetitions (xorshift64*).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Runs rdiff in a new directory with `files`. Returns the content of the file `made`.
fn rdiff(args: &[&str], files: &[(&str, &[u8])], made: &str) -> Result<Vec<u8>, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let args = args.iter().map(OsStr::new);
    let output =
        Command::new("rdiff").args(args).current_dir(dir.path()).output().expect("rdiff is installed");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(std::fs::read(dir.path().join(made)).unwrap())
}

fn rdiff_signature(basis: &[u8], params: Params, rollsum: &str) -> Vec<u8> {
    let (block, sum) = (format!("-b{}", params.block_len), format!("-S{}", params.strong_len));
    let args = ["-Hblake2", &format!("-R{rollsum}"), &block, &sum, "signature", "basis", "sig"];
    rdiff(&args, &[("basis", basis)], "sig").unwrap()
}

fn rdiff_delta(signature: &[u8], new: &[u8]) -> Vec<u8> {
    rdiff(&["delta", "sig", "new", "delta"], &[("sig", signature), ("new", new)], "delta").unwrap()
}

fn rdiff_patch(basis: &[u8], delta: &[u8]) -> Vec<u8> {
    rdiff(&["patch", "basis", "delta", "new"], &[("basis", basis), ("delta", delta)], "new").unwrap()
}

/// Lengths of pushes, reads and buffers, in bytes.
const BUFFERS: [usize; 8] = [1, 2, 3, 7, 15, 100, 5000, 1 << 20];

fn our_signature(basis: &[u8], params: Params) -> Vec<u8> {
    our_signature_by(basis, params, 5000)
}

fn our_signature_by(basis: &[u8], params: Params, push: usize) -> Vec<u8> {
    let mut signer = Signer::new(params, Vec::new()).unwrap();
    basis.chunks(push).for_each(|piece| signer.update(piece).unwrap());
    signer.finish().unwrap()
}

fn our_delta(signature: &[u8], basis_len: usize, new: &[u8]) -> Vec<u8> {
    our_delta_by(signature, basis_len, new, 5000)
}

fn our_delta_by(signature: &[u8], basis_len: usize, new: &[u8], push: usize) -> Vec<u8> {
    let signature = Signature::parse(signature).unwrap();
    let mut writer = DeltaWriter::new(&signature, basis_len as u64, Vec::new()).unwrap();
    new.chunks(push).for_each(|piece| writer.update(piece).unwrap());
    writer.finish().unwrap()
}

fn our_patch(basis: &[u8], delta: &[u8], out_len: usize) -> Result<Vec<u8>, Error> {
    our_patch_by(basis, delta, out_len, usize::MAX)
}

fn our_patch_by(basis: &[u8], delta: &[u8], out_len: usize, read: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut delta = Short(delta, read);
    patch(&mut Cursor::new(basis), &mut delta, basis.len() as u64, &mut out, out_len as u64)?;
    Ok(out)
}

/// Returns at most `.1` bytes a read.
struct Short<'b>(&'b [u8], usize);

impl Read for Short<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = out.len().min(self.1);
        self.0.read(&mut out[..len])
    }
}

/// The new content, put together from the pieces that the plan of one delta names in the basis and the delta.
fn our_plan(basis: &[u8], delta: &[u8], out_len: usize) -> Vec<u8> {
    let plan = Plan::whole(basis.len() as u64).apply(1, delta, out_len as u64, usize::MAX).unwrap();
    let source = |source| if source == 0 { basis } else { delta };
    let bytes = |p: &ibt::delta::Piece| &source(p.source)[p.offset as usize..][..p.len as usize];
    plan.pieces().iter().flat_map(bytes).copied().collect()
}

/// A basis, and a new content that contains parts of the basis, in order or out of order.
fn contents() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let basis = (any::<u64>(), 0..60_000usize, any::<bool>()).prop_map(|(seed, len, zeros)| {
        let mut basis = noise(seed, len);
        if zeros {
            basis[len / 2..].fill(0);
        }
        basis
    });
    let stretch = (any::<u64>(), 0..20_000usize, 0..3u8);
    (basis, proptest::collection::vec(stretch, 0..6)).prop_map(|(basis, stretches)| {
        let mut new = Vec::new();
        for (seed, len, kind) in stretches {
            let start = seed as usize % (basis.len() + 1);
            match kind {
                0 => new.extend(noise(seed, len % 3000)),
                1 => new.extend_from_slice(&basis[start..basis.len().min(start + len)]),
                _ => new.extend_from_slice(&basis[start..]),
            }
        }
        (basis, new)
    })
}

fn params() -> impl Strategy<Value = Params> {
    let block_len = prop_oneof![1..100u32, 100..=8192u32];
    (block_len, 5..=32u32).prop_map(|(block_len, strong_len)| Params { block_len, strong_len })
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn rdiff_reads_what_we_write_and_we_read_what_it_writes((basis, new) in contents(), params in params()) {
        let sums = our_signature(&basis, params);
        prop_assert!(sums == rdiff_signature(&basis, params, "rabinkarp"));
        let (ours, theirs) = (our_delta(&sums, basis.len(), &new), rdiff_delta(&sums, &new));
        prop_assert!(rdiff_patch(&basis, &ours) == new);
        prop_assert!(our_patch(&basis, &theirs, new.len()).unwrap() == new);
        prop_assert!(our_plan(&basis, &theirs, new.len()) == new);
        prop_assert!(ours.len() <= theirs.len() + 64, "{} bytes, rdiff {}", ours.len(), theirs.len());
    }

    #[test]
    fn signatures_with_rollsum_are_read((basis, new) in contents(), params in params()) {
        let sums = rdiff_signature(&basis, params, "rollsum");
        let ours = our_delta(&sums, basis.len(), &new);
        prop_assert!(rdiff_patch(&basis, &ours) == new);
        let theirs = rdiff_delta(&sums, &new);
        prop_assert!(ours.len() <= theirs.len() + 64, "{} bytes, rdiff {}", ours.len(), theirs.len());
    }

    #[test]
    fn the_librsync_crate_agrees_whatever_the_buffers(
        (basis, new) in contents(), params in params(),
        ours_by in proptest::sample::select(&BUFFERS), theirs_by in proptest::sample::select(&BUFFERS),
    ) {
        let (block, strong) = (params.block_len as usize, params.strong_len as usize);
        fn buffered(bytes: &[u8], len: usize) -> BufReader<&[u8]> {
            BufReader::with_capacity(len, bytes)
        }
        let mut rollsums = Vec::new();
        let kind = SignatureType::Blake2;
        let mut signature =
            librsync::Signature::with_buf_read(buffered(&basis[..], theirs_by), block, strong, kind).unwrap();
        signature.read_to_end(&mut rollsums).unwrap();
        let sums = our_signature_by(&basis, params, ours_by);
        // The crate writes signatures with rollsum. Their strong sums are the same.
        let strong_sums = |sums: &[u8]| -> Vec<Vec<u8>> {
            sums[12..].chunks(4 + strong).map(|entry| entry[4..].to_vec()).collect()
        };
        prop_assert_eq!(&rollsums[4..12], &sums[4..12]);
        prop_assert!(strong_sums(&rollsums) == strong_sums(&sums));
        for sums in [&sums, &rollsums] {
            let mut made = Vec::new();
            let ours = our_delta_by(sums, basis.len(), &new, ours_by);
            let mut patch = librsync::Patch::with_buf_read(Cursor::new(&basis), buffered(&ours[..], theirs_by)).unwrap();
            patch.read_to_end(&mut made).unwrap();
            prop_assert!(made == new);
            let mut theirs = Vec::new();
            let mut delta = librsync::Delta::with_buf_read(buffered(&new[..], theirs_by), &mut &sums[..]).unwrap();
            delta.read_to_end(&mut theirs).unwrap();
            prop_assert!(our_patch_by(&basis, &theirs, new.len(), ours_by).unwrap() == new);
        }
    }
}

/// A delta that is made against the basis itself, not against its signature.
fn fine(basis: &[u8], new: &[u8]) -> Vec<u8> {
    fine_delta(&mut FineSearch::default(), basis, new, Vec::new()).unwrap()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn rdiff_applies_deltas_that_were_made_byte_by_byte((basis, new) in contents()) {
        let made = fine(&basis, &new);
        prop_assert!(rdiff_patch(&basis, &made) == new);
        prop_assert!(our_plan(&basis, &made, new.len()) == new);
    }
}

#[test]
fn a_delta_made_byte_by_byte_is_about_as_small_as_that_of_zstd() {
    let basis: Vec<u8> = noise(1, 200_000).iter().map(|byte| b'a' + byte % 16).collect();
    let mut new = Vec::new();
    for (number, part) in basis.chunks(5000).enumerate() {
        new.extend_from_slice(&part[..if number % 3 == 0 { 4900 } else { 5000 }]);
        new.extend_from_slice(&noise(2 + number as u64, 120));
    }
    let made = fine(&basis, &new);
    assert!(rdiff_patch(&basis, &made) == new);
    let ours = zstd::bulk::compress(&made, 3).unwrap().len();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("basis"), &basis).unwrap();
    std::fs::write(at("new"), &new).unwrap();
    let from = format!("--patch-from={}", at("basis").display());
    let run = Command::new("zstd").args(["-q", "-3", &from]).arg(at("new")).status();
    assert!(run.expect("zstd is installed").success());
    let theirs = std::fs::metadata(at("new.zst")).unwrap().len() as usize;
    assert!(ours <= theirs * 13 / 10, "{ours} bytes, zstd --patch-from {theirs}");
}

#[test]
fn empty_contents_agree_with_rdiff() {
    let params = Params { block_len: 2048, strong_len: 16 };
    for (basis, new) in [(vec![], vec![]), (vec![], noise(1, 9000)), (noise(1, 9000), vec![])] {
        let sums = our_signature(&basis, params);
        assert_eq!(sums, rdiff_signature(&basis, params, "rabinkarp"));
        let (ours, theirs) = (our_delta(&sums, basis.len(), &new), rdiff_delta(&sums, &new));
        assert_eq!(rdiff_patch(&basis, &ours), new);
        assert_eq!(our_patch(&basis, &theirs, new.len()).unwrap(), new);
    }
}

#[test]
fn a_short_last_block_is_matched_at_the_end_as_rdiff_does() {
    let params = Params { block_len: 2048, strong_len: 16 };
    let basis = noise(1, 10 * 2048 + 700);
    let sums = our_signature(&basis, params);
    let new = [&noise(2, 100)[..], &basis].concat();
    let (ours, theirs) = (our_delta(&sums, basis.len(), &new), rdiff_delta(&sums, &new));
    assert_eq!(ours, theirs);
}

#[test]
fn md4_signatures_of_rdiff_are_refused() {
    for rollsum in ["rollsum", "rabinkarp"] {
        let args = ["-Hmd4", &format!("-R{rollsum}"), "signature", "basis", "sig"];
        let sums = rdiff(&args, &[("basis", &noise(1, 5000))], "sig").unwrap();
        assert!(matches!(Signature::parse(&sums), Err(Error::Md4Signature(_))));
    }
}
