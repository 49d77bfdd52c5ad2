//! The digests of the documents of states, computed without the engine.

/// The offset of the digest line. The document's digest covers all bytes before this line.
pub fn digest_line(document: &[u8]) -> usize {
    let key = b"\n\"digest\":\"";
    document.windows(key.len()).rposition(|window| window == key).expect("a digest line") + 1
}

/// The two last lines of a document: the digest of its summary and the digest of the document. `document` ends before
/// them. The summary is the header, and the trailer from the line of the archives on.
pub fn digest_lines(document: &[u8]) -> Vec<u8> {
    let (begin, end) = (b"\n\"entries\":[\n", b"\n\"archives\":[");
    let find = |key: &[u8]| document.windows(key.len()).position(|window| window == key);
    let header = &document[..find(begin).map_or(0, |at| at + begin.len())];
    let trailer = document.windows(end.len()).rposition(|window| window == end);
    let trailer = &document[trailer.map_or(document.len(), |at| at + 1)..];
    let summary = blake3::hash(&[header, trailer].concat()).to_hex();
    let mut lines = format!("\"summary\":\"blake3:{summary}\",\n").into_bytes();
    let digest = blake3::hash(&[document, &lines].concat()).to_hex();
    lines.extend_from_slice(format!("\"digest\":\"blake3:{digest}\"}}\n").as_bytes());
    lines
}

/// The document without the two lines of digests at its end.
pub fn unsealed(document: &[u8]) -> &[u8] {
    let document = &document[..digest_line(document)];
    let summary = document.strip_suffix(b"\n").unwrap_or(document).iter().rposition(|&b| b == b'\n');
    let summary = summary.map_or(0, |at| at + 1);
    match document[summary..].starts_with(b"\"summary\":") {
        true => &document[..summary],
        false => document,
    }
}

/// The beginning of the list of layers in a header.
const LAYERS: &[u8] = b"\n\"layers\":[";

/// The document with all digests computed again, so that only the forged values are wrong.
pub fn reseal(document: &[u8]) -> Vec<u8> {
    let mut sealed = unsealed(document).to_vec();
    // The tree digest of a state with layers covers their entries too, so it stays.
    let has_layers = document.windows(LAYERS.len()).any(|window| window == LAYERS);
    let key = b"\"tree\":\"blake3:";
    let tree =
        sealed.windows(key.len()).rposition(|window| window == key).expect("a tree digest") + key.len();
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex();
    if !has_layers {
        let lines: Vec<u8> = entry_lines(document).flat_map(|line| [logical(line), b"\n"].concat()).collect();
        sealed[tree..tree + 64].copy_from_slice(digest(&lines).as_bytes());
    }
    let lines = digest_lines(&sealed);
    sealed.extend_from_slice(&lines);
    sealed
}

/// The entry lines of a document, without commas.
pub fn entry_lines(document: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = document.split(|&b| b == b'\n').skip_while(|line| line != b"\"entries\":[").skip(1);
    lines.take_while(|line| line != b"],").map(|line| line.strip_suffix(b",").unwrap_or(line))
}

/// The bytes of an entry line before its physical part.
pub fn logical(line: &[u8]) -> &[u8] {
    let key = b",\"at\":{";
    &line[..line.windows(key.len()).position(|window| window == key).expect("a physical part")]
}
