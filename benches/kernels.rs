//! Measures the kernels of `ibt::delta` on one thread. Compares them with the librsync crate (a C library) and
//! with fast_rsync. Measures BLAKE3 and zstd too, because every content also passes through these.
//!
//! `IBT_BENCH_TEXT=DIR cargo bench --bench kernels` uses the files below DIR as the text, in the order of their
//! paths, up to 87 MB in all. An unpacked source tree is a good DIR. Without this variable the text is
//! generated.
//!
//! The engines use different sums: libibt RabinKarp and BLAKE2b, the librsync crate rollsum and BLAKE2b,
//! fast_rsync rollsum and MD4 (a weaker and faster sum).
//!
//! The times are CPU times of the thread, so that other processes disturb the measurement little.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Cursor, Read, Write, sink};
use std::path::Path;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, BenchmarkGroup, SamplingMode, Throughput};
use criterion::{criterion_group, criterion_main};
use ibt::delta::{DeltaWriter, FineSearch, Params, Signature, Signer, fine_delta, patch};
use librsync::SignatureType;
use rustix::time::{ClockId, clock_gettime};

/// Bytes of the text.
const TEXT: usize = 87_000_000;
const PARAMS: Params = Params { block_len: 2048, strong_len: 16 };
/// Contents are pushed in pieces of this length. A frame of an archive has at most 4 MiB, and reads are shorter than
/// that.
const PIECE: usize = 1 << 20;
/// Bytes that the C engine gets at a time. The engine copies them, and longer pieces would not fit the processor's
/// cache.
const C_BUFFER: usize = 64 << 10;

/// Measures the CPU time of the calling thread. The times are formatted as criterion formats wall time.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

type Criterion = criterion::Criterion<CpuTime>;

fn text() -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT);
    match std::env::var_os("IBT_BENCH_TEXT") {
        Some(dir) => concatenate(Path::new(&dir), &mut text),
        None => {
            eprintln!("IBT_BENCH_TEXT is not set: the text is made up");
            make_up(&mut text);
        }
    }
    eprintln!("{} bytes of text", text.len());
    text
}

fn concatenate(dir: &Path, text: &mut Vec<u8>) {
    for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.expect("a directory that can be read");
        if text.len() < TEXT && entry.file_type().is_file() {
            let file = File::open(entry.path()).expect("a file that can be read");
            file.take((TEXT - text.len()) as u64).read_to_end(text).expect("a file that can be read");
        }
    }
}

/// Generates lines of words. The text is the same in every run.
fn make_up(text: &mut Vec<u8>) {
    let mut random = Random(1);
    let letters = |random: &mut Random| {
        let len = 2 + random.below(8);
        (0..len).map(|_| b'a' + random.below(26) as u8).collect::<Vec<_>>()
    };
    let words: Vec<Vec<u8>> = (0..4000).map(|_| letters(&mut random)).collect();
    while text.len() < TEXT {
        // The product makes low numbers more likely, as some words of a language are more frequent.
        let word = &words[(random.below(64) * random.below(63)) as usize];
        text.extend_from_slice(word);
        text.push(if random.below(8) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(TEXT);
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = Random(2);
    (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(len).collect()
}

/// The text with 64 bytes replaced in every 200 KiB, and a few bytes inserted in the middle.
fn edited(text: &[u8]) -> Vec<u8> {
    let mut new = text.to_vec();
    for stretch in new.chunks_mut(200 << 10) {
        let len = stretch.len().min(64);
        stretch[..len].fill(b'#');
    }
    let middle = new.len() / 2;
    new.splice(middle..middle, *b"an insertion");
    new
}

/// The signatures of a content that all engines make before the content changes.
struct Basis {
    len: u64,
    ours: Signature,
    c: Vec<u8>,
    fast: fast_rsync::Signature,
}

impl Basis {
    fn of(content: &[u8]) -> Self {
        let mut ours = Vec::new();
        our_signature(content, &mut ours);
        let mut c = Vec::new();
        c_signature(content, &mut c);
        let (len, ours) = (content.len() as u64, Signature::parse(&ours).expect("a signature"));
        Basis { len, ours, c, fast: fast_signature(content) }
    }
}

fn our_signature(content: &[u8], out: impl Write) {
    let mut signer = Signer::new(PARAMS, out).expect("params");
    content.chunks(PIECE).for_each(|piece| signer.update(piece).expect("no error"));
    signer.finish().expect("no error");
}

fn c_signature(content: &[u8], out: &mut impl Write) {
    let input = BufReader::with_capacity(C_BUFFER, content);
    let (block, strong) = (PARAMS.block_len as usize, PARAMS.strong_len as usize);
    let made = librsync::Signature::with_buf_read(input, block, strong, SignatureType::Blake2);
    copy(made.expect("params"), out);
}

fn fast_signature(content: &[u8]) -> fast_rsync::Signature {
    let options =
        fast_rsync::SignatureOptions { block_size: PARAMS.block_len, crypto_hash_size: PARAMS.strong_len };
    fast_rsync::Signature::calculate(content, options)
}

fn our_delta(basis: &Basis, new: &[u8], out: impl Write) {
    let mut writer = DeltaWriter::new(&basis.ours, basis.len, out).expect("a signature of the basis");
    new.chunks(PIECE).for_each(|piece| writer.update(piece).expect("no error"));
    writer.finish().expect("no error");
}

/// Makes the delta and the new content's signature in one pass, as an increment does.
fn our_delta_and_signature(basis: &Basis, new: &[u8]) {
    let writer = DeltaWriter::with_signature(&basis.ours, basis.len, PARAMS, sink(), sink());
    let mut writer = writer.expect("a signature of the basis");
    new.chunks(PIECE).for_each(|piece| writer.update(piece).expect("no error"));
    writer.finish_both().expect("no error");
}

fn c_delta(basis: &Basis, new: &[u8], out: &mut impl Write) {
    let input = BufReader::with_capacity(C_BUFFER, new);
    copy(librsync::Delta::with_buf_read(input, &mut &basis.c[..]).expect("a signature"), out);
}

/// Like `std::io::copy`, with a buffer that is long enough for the C engine.
fn copy(mut from: impl Read, to: &mut impl Write) {
    let mut buffer = vec![0; C_BUFFER];
    loop {
        match from.read(&mut buffer).expect("no error") {
            0 => return,
            len => to.write_all(&buffer[..len]).expect("no error"),
        }
    }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str, bytes: usize) -> BenchmarkGroup<'c, CpuTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

fn signatures(criterion: &mut Criterion, text: &[u8]) {
    let mut group = group(criterion, "signature", text.len());
    group.bench_function("ibt", |bench| bench.iter(|| our_signature(text, sink())));
    group.bench_function("librsync", |bench| bench.iter(|| c_signature(text, &mut sink())));
    group.bench_function("fast_rsync", |bench| bench.iter(|| black_box(fast_signature(text))));
}

fn deltas(criterion: &mut Criterion, name: &str, basis: &Basis, new: &[u8]) {
    let mut group = group(criterion, name, new.len());
    group.bench_function("ibt", |bench| bench.iter(|| our_delta(basis, new, sink())));
    group.bench_function("ibt-and-signature", |bench| bench.iter(|| our_delta_and_signature(basis, new)));
    group.bench_function("librsync", |bench| bench.iter(|| c_delta(basis, new, &mut sink())));
    // The index of fast_rsync borrows from the signature, so each run makes a new index, as the librsync crate does.
    group.bench_function("fast_rsync", |bench| {
        bench.iter(|| fast_rsync::diff(&basis.fast.index(), new, &mut sink()).expect("no error"))
    });
}

fn patches(criterion: &mut Criterion, basis: &Basis, text: &[u8], new: &[u8]) {
    let mut delta = Vec::new();
    our_delta(basis, new, &mut delta);
    let mut group = group(criterion, "patch", new.len());
    // All runs use the same buffer: new memory would cost more than patching.
    let mut out = Vec::with_capacity(new.len());
    group.bench_function("ibt", |bench| {
        bench.iter(|| {
            out.clear();
            let mut input = &delta[..];
            patch(&mut Cursor::new(text), &mut input, basis.len, &mut out, new.len() as u64)
                .expect("a delta");
        })
    });
    assert!(out == new);
    group.bench_function("librsync", |bench| {
        bench.iter(|| {
            out.clear();
            copy(librsync::Patch::with_buf_read(Cursor::new(text), &delta[..]).expect("a delta"), &mut out);
        })
    });
    assert!(out == new);
    group.bench_function("fast_rsync", |bench| {
        bench.iter(|| {
            out.clear();
            fast_rsync::apply(text, &delta, &mut out).expect("a delta");
        })
    });
    assert!(out == new);
}

/// Makes deltas byte by byte: each part of `new` against the same part of `old`. A part is as long as a few blocks, or
/// as a small file.
fn fine(criterion: &mut Criterion, name: &str, old: &[u8], new: &[u8]) {
    let mut group = group(criterion, name, old.len().min(new.len()));
    for part in [8 << 10, 64 << 10, 1 << 20] {
        let mut search = FineSearch::default();
        group.bench_function(format!("ibt-{}k", part >> 10), |bench| {
            bench.iter(|| {
                for (old, new) in old.chunks(part).zip(new.chunks(part)) {
                    fine_delta(&mut search, old, new, sink()).expect("no error");
                }
            })
        });
    }
}

/// The text with 16 bytes inserted in each even part of 512 bytes, and 16 bytes in place of 32 in each odd one.
fn edited_densely(text: &[u8]) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + text.len() / 32);
    for (number, part) in text.chunks(512).enumerate() {
        new.extend_from_slice(b"some other bytes");
        new.extend_from_slice(if number % 2 == 0 { part } else { &part[part.len().min(32)..] });
    }
    new
}

fn beside(criterion: &mut Criterion, text: &[u8]) {
    let mut hash = group(criterion, "blake3", text.len());
    hash.bench_function("blake3", |bench| bench.iter(|| black_box(blake3::hash(text))));
    hash.finish();
    let mut group = group(criterion, "zstd", text.len());
    for level in [1, 3] {
        let compressor = || zstd::bulk::Compressor::new(level).expect("a level");
        group.bench_function(format!("-{level}"), |bench| {
            let frames = |mut compressor: zstd::bulk::Compressor| {
                text.chunks(4 << 20).for_each(|frame| drop(compressor.compress(frame).expect("no error")));
            };
            bench.iter_batched(compressor, frames, BatchSize::PerIteration)
        });
    }
}

fn kernels(criterion: &mut Criterion) {
    let text = text();
    signatures(criterion, &text);
    let basis = Basis::of(&text);
    deltas(criterion, "delta-unchanged", &basis, &text);
    deltas(criterion, "delta-nothing-matches", &Basis::of(&noise(text.len())), &text);
    let new = edited(&text);
    deltas(criterion, "delta-edited", &basis, &new);
    fine(criterion, "fine-edited", &text, &edited_densely(&text));
    fine(criterion, "fine-nothing-matches", &text, &noise(text.len()));
    patches(criterion, &basis, &text, &new);
    beside(criterion, &text);
}

criterion_group! {
    name = benches;
    config = criterion::Criterion::default().without_plots().with_measurement(CpuTime);
    targets = kernels
}
criterion_main!(benches);
