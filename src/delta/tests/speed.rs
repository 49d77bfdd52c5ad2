//! The speed of each kernel, printed: `cargo test --release delta::tests::speed -- --ignored --nocapture`.

use std::io::{sink, Cursor};

use rustix::time::{clock_gettime, ClockId};

use super::{delta, noise, sign};
use crate::delta::{patch, DeltaWriter, Params, Signature, Signer};

const LEN: usize = 87 << 20;
const PUSH: usize = 1 << 20;
const PARAMS: Params = Params { block_len: 2048, strong_len: 16 };

/// Prints the best of five runs, by the thread's CPU time: other processes matter little.
fn measure(what: &str, mut work: impl FnMut()) {
    let best = (0..5)
        .map(|_| {
            let start = cpu_seconds();
            work();
            cpu_seconds() - start
        })
        .fold(f64::INFINITY, f64::min);
    println!("{what:32} {:.2} GB/s", LEN as f64 / best / 1e9);
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn edited(basis: &[u8], insertion: bool) -> Vec<u8> {
    let mut new = basis.to_vec();
    for chunk in new.chunks_mut(200 << 10) {
        let len = chunk.len().min(64);
        chunk[..len].fill(b'#');
    }
    if insertion {
        new.splice(LEN / 2..LEN / 2, *b"an insertion");
    }
    new
}

fn push(writer: &mut DeltaWriter<impl std::io::Write, impl std::io::Write>, new: &[u8]) {
    for piece in new.chunks(PUSH) {
        writer.update(piece).unwrap();
    }
}

#[test]
#[ignore = "prints speeds; only a release build tells"]
fn kernels() {
    let basis = noise(1, LEN);
    let sums = sign(&basis, PARAMS);
    let signature = Signature::parse(&sums).unwrap();
    measure("signature", || {
        let mut signer = Signer::new(PARAMS, sink()).unwrap();
        basis.chunks(PUSH).for_each(|piece| signer.update(piece).unwrap());
        signer.finish().unwrap();
    });
    measure("signature, librsync crate", || {
        let kind = librsync::SignatureType::Blake2;
        let mut made = librsync::Signature::with_options(&basis[..], 2048, 16, kind).unwrap();
        std::io::copy(&mut made, &mut sink()).unwrap();
    });
    measure("parse", || drop(Signature::parse(&sums).unwrap()));
    let cases = [
        ("unchanged", basis.clone()),
        ("nothing matches", noise(2, LEN)),
        ("64 bytes every 200 KiB", edited(&basis, false)),
        ("the same and an insertion", edited(&basis, true)),
    ];
    for (what, new) in &cases {
        measure(&format!("delta, {what}"), || {
            let mut writer = DeltaWriter::new(&signature, LEN as u64, sink()).unwrap();
            push(&mut writer, new);
            writer.finish().unwrap();
        });
        measure(&format!("fused, {what}"), || {
            let (out, sig) = (sink(), sink());
            let mut writer = DeltaWriter::with_signature(&signature, LEN as u64, PARAMS, out, sig).unwrap();
            push(&mut writer, new);
            writer.finish_both().unwrap();
        });
    }
    let small = Signature::parse(&sign(&basis[..1 << 20], PARAMS)).unwrap();
    measure("delta, nothing matches 1 MiB", || {
        let mut writer = DeltaWriter::new(&small, 1 << 20, sink()).unwrap();
        push(&mut writer, &cases[1].1);
        writer.finish().unwrap();
    });
    let new = &cases[3].1;
    let bytes = delta(&signature, LEN as u64, new, PUSH);
    let mut out = Vec::with_capacity(new.len());
    measure("patch", || {
        out.clear();
        patch(&mut Cursor::new(&basis), &mut &bytes[..], LEN as u64, &mut out, new.len() as u64).unwrap();
    });
    assert!(out == *new);
}
