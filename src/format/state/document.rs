//! Writes and reads the header and the trailer of a state.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::object::{Capped, FromObject, JsonObject};
use super::summary::ARCHIVES;
use super::{
    ARCHIVES_MAX, ArchiveFile, ArchiveRef, HEADER_TEXT_MAX, Header, LAYERS_MAX, LayerRef, Omissions, PARTIAL,
    PROBLEM_BYTES_MAX, PROBLEMS_MAX, ParentRef, SnapshotKind, StateProblem, Totals, Trailer, VERSION, json,
};
use crate::entry::{Hash, Unknown};
use crate::format::names::{PARTS_MAX, part_name, split_part};
use crate::format::{BackupFileKind, check_key};
use crate::job::{Labels, check_labels};
use crate::stamp::{Stamp, Time};
use crate::text::decode_name;

/// The longest text of the field `uses`, in bytes: for each layer, one digit for each archive, quotes and a comma.
const USES_TEXT_MAX: usize = LAYERS_MAX * (ARCHIVES_MAX + 4);

/// Appends the header, up to and including the line `"entries":[`.
pub(super) fn write_header(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"format\":\"ibt-state\",\"version\":{VERSION},\"needs\":[").as_bytes());
    for (n, word) in header.needs.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b"," } else { b"" });
        json::string(out, word);
    }
    text(out, "],\"key\":", &header.key);
    text(out, ",\"series\":", &header.series);
    text(out, ",\"host\":", &header.host);
    text(out, ",\n\"snapshot\":", &header.snapshot.to_string());
    text(out, ",\"kind\":", header.kind.word());
    count(out, ",\"seq\":", header.seq);
    out.extend_from_slice(b",\"source\":");
    json::name(out, &header.source);
    text(out, ",\n\"library\":", &header.library);
    out.extend_from_slice(b",\"scanned_at\":");
    json::time(out, header.scanned_at);
    out.extend_from_slice(b",\"made_at\":");
    json::time(out, header.made_at);
    if let Some(parent) = &header.parent {
        text(out, ",\n\"parent\":{\"snapshot\":", &parent.snapshot.to_string());
        out.extend_from_slice(b",\"tree\":");
        json::hash(out, &parent.tree);
        out.push(b'}');
    }
    if header.inodes_unstable {
        out.extend_from_slice(b",\n\"inodes\":\"unstable\"");
    }
    write_labels(&header.labels, out);
    write_layers(&header.layers, out);
    json::unknown(out, &header.unknown);
    out.extend_from_slice(b",\n\"entries\":[\n");
}

fn write_labels(labels: &Labels, out: &mut Vec<u8>) {
    for (n, (name, value)) in labels.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b"," } else { b",\n\"labels\":{" });
        json::string(out, name);
        text(out, ":", value);
    }
    if !labels.is_empty() {
        out.push(b'}');
    }
}

fn write_layers(layers: &[LayerRef], out: &mut Vec<u8>) {
    for (n, layer) in layers.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b"," } else { LAYERS });
        text(out, "{\"snapshot\":", &layer.snapshot.to_string());
        count(out, ",\"size\":", layer.size);
        out.extend_from_slice(b",\"digest\":");
        json::hash(out, &layer.digest);
        out.push(b'}');
    }
    if !layers.is_empty() {
        out.push(b']');
    }
}

/// Appends the trailer, from the line `],` up to the lines with the digests. Returns the offset in `out` of the part
/// that belongs to the summary.
pub(super) fn write_trailer(trailer: &Trailer, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"],\n");
    let problems = write_problems(&trailer.problems, out);
    trailer.omissions.write(out);
    let summary = out.len();
    out.extend_from_slice(ARCHIVES);
    for (n, archive) in trailer.archives.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",\n" } else { b"" });
        text(out, "{\"name\":", &archive.name);
        text(out, ",\"kind\":", archive.kind.word());
        write_sizes(archive.size, archive.stream, &archive.digest, out);
        write_parts(&archive.parts, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"],\n");
    write_uses(&trailer.uses, out);
    write_totals(&Totals { problems, ..trailer.totals }, out);
    out.extend_from_slice(b"\"finished_at\":");
    json::time(out, trailer.finished_at);
    out.extend_from_slice(b",\"tree\":");
    json::hash(out, &trailer.tree);
    json::unknown(out, &trailer.unknown);
    out.extend_from_slice(b",\n");
    summary
}

fn write_sizes(size: u64, stream: u64, digest: &Hash, out: &mut Vec<u8>) {
    count(out, ",\"size\":", size);
    count(out, ",\"stream\":", stream);
    out.extend_from_slice(b",\"digest\":");
    json::hash(out, digest);
}

/// Appends the parts of an archive, if it has parts. Each line of a trailer ends in a comma.
fn write_parts(parts: &[ArchiveFile], out: &mut Vec<u8>) {
    for (n, part) in parts.iter().enumerate() {
        text(out, if n > 0 { ",\n{\"name\":" } else { ",\"parts\":[{\"name\":" }, &part.name);
        write_sizes(part.size, part.stream, &part.digest, out);
        out.push(b'}');
    }
    if !parts.is_empty() {
        out.push(b']');
    }
}

fn write_uses(uses: &[Vec<bool>], out: &mut Vec<u8>) {
    for (n, layer) in uses.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",\"" } else { b"\"uses\":[\"" });
        out.extend(layer.iter().map(|used| if *used { b'1' } else { b'0' }));
        out.push(b'"');
    }
    if !uses.is_empty() {
        out.extend_from_slice(b"],\n");
    }
}

fn write_totals(totals: &Totals, out: &mut Vec<u8>) {
    count(out, "\"totals\":{\"entries\":", totals.entries);
    count(out, ",\"bytes\":", totals.bytes);
    count(out, ",\"created\":", totals.created);
    count(out, ",\"modified\":", totals.modified);
    count(out, ",\"unchanged\":", totals.unchanged);
    count(out, ",\"moved\":", totals.moved);
    count(out, ",\"deleted\":", totals.deleted);
    count(out, ",\"metadata\":", totals.metadata);
    count(out, ",\"problems\":", totals.problems);
    out.extend_from_slice(b"},\n");
}

/// Appends the first problems, as many as [`PROBLEMS_MAX`] and [`PROBLEM_BYTES_MAX`] allow, and returns their number.
fn write_problems(problems: &[StateProblem], out: &mut Vec<u8>) -> u64 {
    let mut written = 0;
    out.extend_from_slice(b"\"problems\":[");
    let start = out.len();
    for (n, problem) in problems.iter().take(PROBLEMS_MAX).enumerate() {
        let before = out.len();
        out.extend_from_slice(if n > 0 { b",\n{" } else { b"{" });
        if let Some(path) = &problem.path {
            out.extend_from_slice(b"\"path\":");
            json::name(out, path);
            out.push(b',');
        }
        text(out, "\"status\":", &problem.status);
        text(out, ",\"message\":", &problem.message);
        out.push(b'}');
        if out.len() - start > PROBLEM_BYTES_MAX {
            out.truncate(before);
            break;
        }
        written += 1;
    }
    out.extend_from_slice(b"],\n");
    written
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    json::string(out, value);
}

fn count(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    json::number(out, value);
}

/// The beginning of the list of layers in a header.
const LAYERS: &[u8] = b",\n\"layers\":[";
/// States of every version begin with these bytes.
const BEGINNING: &[u8] = b"{\"format\":\"ibt-state\",\"version\":";
pub(super) const NEWER: &str = "made by a newer libibt";

/// True if `header` is the beginning of a state of another version than [`VERSION`], or of one that needs a feature
/// that this version does not know.
pub(super) fn is_newer(header: &[u8]) -> bool {
    let Some(rest) = header.strip_prefix(BEGINNING) else { return false };
    let (version, rest) = rest.split_at(rest.iter().take_while(|b| b.is_ascii_digit()).count());
    let needs_more = || {
        let list = rest.strip_prefix(b",\"needs\":").unwrap_or_default();
        let needs = serde_json::Deserializer::from_slice(list).into_iter().next();
        needs.is_some_and(|needs| needs.is_ok_and(|needs: Vec<String>| !is_known(&needs)))
    };
    !version.is_empty() && (version != VERSION.to_string().as_bytes() || needs_more())
}

/// Reads the list of the features that a reader must know. `None` if it is no list of words.
fn read_needs(json: &[u8]) -> Option<Vec<String>> {
    serde_json::from_slice(json).ok()
}

/// True if this version knows every feature of the list.
fn is_known(needs: &[String]) -> bool {
    needs.is_empty() || needs == [PARTIAL]
}

/// Why a header cannot be used.
#[derive(Debug)]
pub(super) enum Refused {
    /// The document is not a state, or has a version or a need that this library does not know.
    Foreign(String),
    /// The document is a state, but its header breaks a rule.
    Damaged(String),
}

impl From<&str> for Refused {
    fn from(what: &str) -> Self {
        Refused::Damaged(what.into())
    }
}

impl From<String> for Refused {
    fn from(what: String) -> Self {
        Refused::Damaged(what)
    }
}

/// Reads the header. `text` ends before the line `"entries":[`.
pub(super) fn read_header(text: Vec<u8>) -> Result<Header, Refused> {
    if !text.starts_with(BEGINNING) {
        return Err(Refused::Foreign("not a state of libibt".into()));
    }
    let text = closed(text)?;
    let mut fields = JsonObject::parse(&text)?;
    fields.need::<&RawValue>("format")?;
    let version: u64 = fields.need("version")?;
    let needs: &RawValue = fields.need("needs")?;
    let needs = read_needs(needs.get().as_bytes()).filter(|needs| version == VERSION && is_known(needs));
    let needs = needs.ok_or_else(|| Refused::Foreign(NEWER.into()))?;
    let header = Header {
        needs,
        key: fields.need_text("key", |key| check_key(key.as_bytes()).ok())?,
        series: fields.need_text("series", series)?,
        host: fields.need("host")?,
        snapshot: fields.need_text("snapshot", Stamp::parse)?,
        kind: fields.need_text("kind", SnapshotKind::from_word)?,
        seq: fields.need("seq")?,
        source: fields.need_text("source", decode_name)?,
        library: fields.need("library")?,
        scanned_at: fields.need_text("scanned_at", Time::parse)?,
        made_at: fields.need_text("made_at", Time::parse)?,
        parent: fields.take::<JsonObject>("parent")?.map(read_parent).transpose()?,
        inodes_unstable: fields.take::<String>("inodes")?.as_deref() == Some("unstable"),
        labels: fields.take::<JsonObject>("labels")?.map(read_labels).transpose()?.unwrap_or_default(),
        layers: match fields.take::<Capped<LayerRef, LAYERS_MAX>>("layers")? {
            Some(Capped(layers)) if layers.is_empty() => return Err("layers without a layer".into()),
            Some(Capped(layers)) => layers,
            None => Vec::new(),
        },
        unknown: fields.rest()?,
    };
    check_header(&header)?;
    Ok(header)
}

/// True if the text of a header has a list of layers. A string cannot contain these bytes, because strings hold no raw
/// LF.
pub(super) fn has_layers(header: &[u8]) -> bool {
    memchr::memmem::find(header, LAYERS).is_some()
}

/// Checks the lengths of a header's texts, its labels, and the order of its layers. Both the writer and the reader call
/// this function.
pub(super) fn check_header(header: &Header) -> Result<(), &'static str> {
    if !header.layers.is_empty() && header.kind == SnapshotKind::Full {
        return Err("a full has no layers");
    }
    if header.is_partial() && header.kind != SnapshotKind::Full {
        return Err("a partial state is that of a full");
    }
    let stamps = header.layers.iter().map(|layer| layer.snapshot);
    if !std::iter::once(header.snapshot).chain(stamps).is_sorted_by(|newer, older| newer > older) {
        return Err("its layers are not older than it, or out of order");
    }
    let longest = header.host.len().max(header.library.len()).max(header.source.len());
    match longest > HEADER_TEXT_MAX {
        true => Err("host, library or source of more than 64 KiB"),
        false => check_labels(&header.labels),
    }
}

/// Reads the labels. [`check_header`] checks them.
fn read_labels(fields: JsonObject<'_>) -> Result<Labels, String> {
    let value = |(name, json): (String, String)| match serde_json::from_str(&json) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(format!("labels: {error}")),
    };
    fields.rest()?.into_iter().map(value).collect()
}

fn read_parent(mut fields: JsonObject<'_>) -> Result<ParentRef, String> {
    Ok(ParentRef {
        snapshot: fields.need_text("snapshot", Stamp::parse)?,
        tree: fields.need_text("tree", Hash::parse)?,
    })
}

/// Reads the trailer. `text` are the lines after the line `],` and before the digest's line. Header and
/// trailer are parts of the same JSON object, so a key of `header` must not occur in the trailer.
pub(super) fn read_trailer(mut text: Vec<u8>, digest: Hash, header: &Header) -> Result<Trailer, String> {
    text.insert(0, b'{');
    let text = closed(text)?;
    let mut fields = JsonObject::parse(&text)?;
    let Capped(problems) = fields.need::<Capped<StateProblem, PROBLEMS_MAX>>("problems")?;
    let omissions = fields.take::<&RawValue>("omitted")?;
    let omissions = Arc::new(omissions.map(Omissions::read).transpose()?.unwrap_or_default());
    let trailer = Trailer { problems, omissions, ..summary_fields(fields, digest, header)? };
    match trailer.totals.problems == trailer.problems.len() as u64 {
        true => Ok(trailer),
        false => Err("the number of problems does not agree".into()),
    }
}

/// Reads the part of the trailer that belongs to the summary, from the line with the archives on.
pub(super) fn read_end(mut text: Vec<u8>, digest: Hash, header: &Header) -> Result<Trailer, String> {
    text.insert(0, b'{');
    let text = closed(text)?;
    summary_fields(JsonObject::parse(&text)?, digest, header)
}

fn summary_fields(mut fields: JsonObject<'_>, digest: Hash, header: &Header) -> Result<Trailer, String> {
    let Capped(archives) = fields.need::<Capped<ArchiveRef, ARCHIVES_MAX>>("archives")?;
    let uses = read_uses(fields.take("uses")?, header)?;
    let trailer = Trailer {
        archives,
        uses,
        totals: Totals::from_object(fields.need("totals")?)?,
        problems: Vec::new(),
        omissions: Arc::default(),
        finished_at: fields.need_text("finished_at", Time::parse)?,
        tree: fields.need_text("tree", Hash::parse)?,
        digest,
        unknown: fields.rest()?,
    };
    check_keys_of_both(header, &trailer)?;
    Ok(trailer)
}

/// Reads the field `uses`: for each layer, which of its archives the snapshot needs. A layer's text has one digit for
/// each archive, `1` if the archive is needed.
fn read_uses(text: Option<&RawValue>, header: &Header) -> Result<Vec<Vec<bool>>, String> {
    let Some(text) = text.map(RawValue::get) else {
        return if header.layers.is_empty() { Ok(Vec::new()) } else { Err("uses is missing".into()) };
    };
    let digit = |byte| match byte {
        b'0' => Some(false),
        b'1' => Some(true),
        _ => None,
    };
    let digits = |text: &String| text.bytes().map(digit).collect::<Option<Vec<_>>>();
    // A forged list cannot fill memory.
    let texts = match text.len() <= USES_TEXT_MAX {
        true => serde_json::from_str::<Vec<String>>(text).map_err(|error| format!("uses: {error}"))?,
        false => return Err("uses is too long".into()),
    };
    let uses: Option<Vec<_>> = texts.iter().map(digits).collect();
    let is_right = |uses: &Vec<Vec<bool>>| !uses.is_empty() && uses.len() == header.layers.len();
    uses.filter(is_right).ok_or_else(|| "uses is not valid".into())
}

/// The known keys of a document, in the writer's order, without `digest`.
const KNOWN: [&str; 26] = [
    "format",
    "version",
    "needs",
    "key",
    "series",
    "host",
    "snapshot",
    "kind",
    "seq",
    "source",
    "library",
    "scanned_at",
    "made_at",
    "parent",
    "inodes",
    "labels",
    "layers",
    "entries",
    "problems",
    "omitted",
    "archives",
    "uses",
    "totals",
    "finished_at",
    "tree",
    "summary",
];

/// Checks the unknown fields of both parts: none of them may have the key `digest` or a key of [`KNOWN`],
/// which would belong to the other part, and no key may occur in both parts.
fn check_keys_of_both(header: &Header, trailer: &Trailer) -> Result<(), String> {
    let keys = |unknown: &'_ Unknown| -> Vec<String> { unknown.iter().map(|(key, _)| key.clone()).collect() };
    let (before, after) = (keys(&header.unknown), keys(&trailer.unknown));
    let is_wrong = |key: &&String| KNOWN.contains(&key.as_str()) || *key == "digest";
    let wrong = before.iter().chain(&after).find(is_wrong);
    match wrong.or_else(|| after.iter().find(|key| before.contains(key))) {
        Some(key) => Err(format!("{key:?} is repeated, or in the wrong place")),
        None => Ok(()),
    }
}

impl FromObject for ArchiveRef {
    fn from_object(mut fields: JsonObject<'_>) -> Result<Self, String> {
        let parts = fields.take::<Capped<PartRecord, { PARTS_MAX as usize }>>("parts")?;
        let archive = ArchiveRef {
            name: fields.need_text("name", whole_name)?,
            kind: fields
                .need_text("kind", |word| BackupFileKind::from_word(word).filter(|kind| kind.is_archive()))?,
            size: fields.need("size")?,
            stream: fields.need("stream")?,
            digest: fields.need_text("digest", Hash::parse)?,
            parts: Vec::new(),
        };
        let Some(Capped(records)) = parts else { return Ok(archive) };
        let fault = |what: &str| format!("the parts of {}: {what}", archive.name);
        Ok(ArchiveRef { parts: checked_parts(&archive, records).map_err(fault)?, ..archive })
    }
}

/// A part of an archive as its record in the state has it.
struct PartRecord {
    name: String,
    size: u64,
    stream: u64,
    digest: Hash,
}

impl FromObject for PartRecord {
    fn from_object(mut fields: JsonObject<'_>) -> Result<Self, String> {
        Ok(PartRecord {
            name: fields.need_text("name", archive_name)?,
            size: fields.need("size")?,
            stream: fields.need("stream")?,
            digest: fields.need_text("digest", Hash::parse)?,
        })
    }
}

/// The parts of an archive. The name of each follows from the archive's name, so no file is a part twice, or a part of
/// another archive. Ranges of the archive are looked up by the lengths of the parts, so these add up to the archive's.
fn checked_parts(archive: &ArchiveRef, records: Vec<PartRecord>) -> Result<Vec<ArchiveFile>, &'static str> {
    if records.len() < 2 {
        return Err("there are fewer than two");
    }
    let sum =
        |of: fn(&PartRecord) -> u64| records.iter().try_fold(0, |sum: u64, part| sum.checked_add(of(part)));
    if (sum(|part| part.size), sum(|part| part.stream)) != (Some(archive.size), Some(archive.stream)) {
        return Err("their sizes do not add up to that of the archive");
    }
    let part = |(number, PartRecord { name, size, stream, digest })| match () {
        _ if name != part_name(&archive.name, number) => Err("a name is not that of the next part"),
        _ if size == 0 || stream == 0 => Err("one is empty"),
        _ => Ok(ArchiveFile { name, kind: archive.kind, size, stream, digest }),
    };
    (1u32..).zip(records).map(part).collect()
}

impl FromObject for LayerRef {
    fn from_object(mut fields: JsonObject<'_>) -> Result<Self, String> {
        Ok(LayerRef {
            snapshot: fields.need_text("snapshot", Stamp::parse)?,
            size: fields.need("size")?,
            digest: fields.need_text("digest", Hash::parse)?,
        })
    }
}

impl FromObject for Totals {
    fn from_object(mut fields: JsonObject<'_>) -> Result<Self, String> {
        Ok(Totals {
            entries: fields.need("entries")?,
            bytes: fields.need("bytes")?,
            created: fields.need("created")?,
            modified: fields.need("modified")?,
            unchanged: fields.need("unchanged")?,
            moved: fields.need("moved")?,
            deleted: fields.need("deleted")?,
            metadata: fields.need("metadata")?,
            problems: fields.need("problems")?,
        })
    }
}

impl FromObject for StateProblem {
    fn from_object(mut fields: JsonObject<'_>) -> Result<Self, String> {
        let path = fields.take::<String>("path")?;
        let path = path.map(|text| decode_name(&text).ok_or("path is not valid")).transpose()?;
        Ok(StateProblem { path, status: fields.need("status")?, message: fields.need("message")? })
    }
}

/// Accepts any file name that a store can hold: one component of 1 to 255 bytes without control characters,
/// which does not begin with `.` or `-`.
fn archive_name(name: &str) -> Option<String> {
    let bad = name.is_empty() || name.len() > 255 || name.starts_with(['.', '-']) || name.contains('/');
    (!bad && !name.chars().any(char::is_control)).then(|| name.to_string())
}

/// Like [`archive_name`], but not the name of a further part.
fn whole_name(name: &str) -> Option<String> {
    archive_name(name).filter(|name| split_part(name).1 == 1)
}

fn series(text: &str) -> Option<String> {
    let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (text.len() == 32 && hex).then(|| text.to_string())
}

/// Makes a JSON object of a part of the document: replaces the comma at its end with `}`.
fn closed(mut text: Vec<u8>) -> Result<String, String> {
    while text.last().is_some_and(u8::is_ascii_whitespace) {
        text.pop();
    }
    if text.pop() != Some(b',') {
        return Err("it does not end in a comma".into());
    }
    text.push(b'}');
    String::from_utf8(text).map_err(|_| "not UTF-8".into())
}
