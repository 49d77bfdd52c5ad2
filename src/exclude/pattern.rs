//! Reads a gitignore pattern as git does (dir.c and wildmatch.c) and spells it as one line for
//! `GitignoreBuilder` that means the same there.
//!
//! That line begins with a slash, so that the builder adds nothing to it, with `**/` behind it if the
//! pattern is about names at any depth. Literal punctuation is escaped, braces above all: gitignore has no
//! alternatives, and deeply nested ones exhaust the stack of globset. Classes are listed out.

/// What cannot occur in a path: stands in a class that must not begin with another character.
const FILLER: char = '\0';

/// The line for the builder; `None` if the pattern matches nothing; `Err` says what is wrong with it.
pub(super) fn translate(pattern: &[u8]) -> Result<Option<String>, &'static str> {
    let text = std::str::from_utf8(pattern).map_err(|_| "not UTF-8")?;
    if text.contains('\0') {
        return Err("NUL in a pattern");
    }
    let (sign, text) = text.strip_prefix('!').map_or(("", text), |text| ("!", text));
    let (end, text) = text.strip_suffix('/').map_or(("", text), |text| ("/", text));
    let is_path = text.contains('/');
    let text = text.strip_prefix('/').unwrap_or(text);
    if text.is_empty() {
        return Ok(None);
    }
    let start = if is_path { "/" } else { "/**/" };
    let mut translator = Translator { text, at: 0, is_path, out: format!("{sign}{start}"), futile: false };
    translator.run()?;
    let futile = translator.futile || translator.out.ends_with('/');
    Ok((!futile).then(|| translator.out + end))
}

struct Translator<'a> {
    text: &'a str,
    /// Where reading goes on, in bytes.
    at: usize,
    is_path: bool,
    out: String,
    /// Something has been read that no path has: an empty component, a class without members.
    futile: bool,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), &'static str> {
        while let Some(c) = self.next() {
            match c {
                '*' => self.stars(),
                '?' => self.out.push('?'),
                '\\' => {
                    let c = self.next().ok_or("ends in a lone backslash")?;
                    self.literal(c);
                }
                '[' => self.class()?,
                c => self.literal(c),
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// A run of asterisks whose first has been read. Two or more reach across slashes if they fill a
    /// component.
    fn stars(&mut self) {
        let first = self.at - 1;
        let single = !self.rest().starts_with('*');
        self.at = self.text.len() - self.rest().trim_start_matches('*').len();
        let alone_before = first == 0 || self.text.as_bytes()[first - 1] == b'/';
        let deep = !single && self.is_path && alone_before;
        if deep && (self.rest().is_empty() || self.rest().starts_with('/')) {
            self.out.push_str("**");
        } else if deep && self.rest().starts_with("\\/") {
            // git lets `**/` stand for nothing, but not if the slash is escaped.
            self.out.push_str("**/*");
        } else {
            self.out.push('*');
        }
    }

    fn literal(&mut self, c: char) {
        self.futile |= c == '/' && self.out.ends_with('/');
        // The builder trims white space and takes a backslash before the last slash for an escape.
        let exposed = self.rest().is_empty() && (c.is_whitespace() || c == '\\');
        if exposed {
            self.out.push('{');
        }
        if c.is_ascii_punctuation() && c != '/' {
            self.out.push('\\');
        }
        self.out.push(c);
        if exposed {
            self.out.push('}');
        }
    }

    /// A class whose `[` has been read.
    fn class(&mut self) -> Result<(), &'static str> {
        let negated = self.rest().starts_with(['!', '^']);
        if negated {
            self.at += 1;
        }
        let mut members = Members::read(self)?;
        members.0[usize::from(b'/')] = false;
        let listed: Vec<char> = (0..128u8).filter(|&b| members.0[usize::from(b)]).map(char::from).collect();
        match listed[..] {
            [] if !negated => self.futile = true,
            [only] if !negated => self.literal(only),
            _ => self.spell_class(&listed, negated),
        }
        Ok(())
    }

    /// globset knows no escapes in classes: `]` is literal in the first place, `-` in the last, `!` and
    /// `^` in any but the first. A negated class there matches a slash unless told otherwise.
    fn spell_class(&mut self, listed: &[char], negated: bool) {
        self.out.push_str(if negated { "[^" } else { "[" });
        self.out.push(if listed.contains(&']') { ']' } else { FILLER });
        self.out.extend(listed.iter().filter(|c| !matches!(c, ']' | '-')));
        self.out.push_str(if negated { "/" } else { "" });
        self.out.push_str(if listed.contains(&'-') { "-]" } else { "]" });
    }
}

/// The ASCII characters that a class lists.
struct Members([bool; 128]);

const UNCLOSED: &str = "character class without ']'";

impl Members {
    /// Reads up to and with the closing `]`.
    fn read(from: &mut Translator<'_>) -> Result<Self, &'static str> {
        let mut members = Members([false; 128]);
        // What a range may begin with.
        let mut previous = None;
        let mut first = true;
        loop {
            let c = from.next().ok_or(UNCLOSED)?;
            match (c, previous) {
                (']', _) if !first => return Ok(members),
                ('-', Some(low)) if !from.rest().starts_with(']') => {
                    let high = ascii(from.next(), from)?;
                    (low..=high).for_each(|b| members.0[usize::from(b)] = true);
                    previous = None;
                }
                ('[', _) if members.add_named(from)? => previous = None,
                (c, _) => {
                    let byte = ascii(Some(c), from)?;
                    members.0[usize::from(byte)] = true;
                    previous = Some(byte);
                }
            }
            first = false;
        }
    }

    /// Adds `[:name:]`, whose first bracket has been read. False, and nothing more read, if it is none.
    fn add_named(&mut self, from: &mut Translator<'_>) -> Result<bool, &'static str> {
        let Some(inner) = from.rest().strip_prefix(':') else {
            return Ok(false);
        };
        let end = inner.find(']').ok_or(UNCLOSED)?;
        let Some(name) = inner[..end].strip_suffix(':') else {
            return Ok(false);
        };
        let test = named_class(name).ok_or("unknown name of a character class")?;
        (0..128u8).filter(test).for_each(|b| self.0[usize::from(b)] = true);
        from.at += 1 + end + 1;
        Ok(true)
    }
}

/// The byte of a class member; behind a backslash, that of the next character.
fn ascii(c: Option<char>, from: &mut Translator<'_>) -> Result<u8, &'static str> {
    let c = if c == Some('\\') { from.next() } else { c };
    match u8::try_from(c.ok_or(UNCLOSED)?) {
        Ok(byte) if byte.is_ascii() => Ok(byte),
        _ => Err("character beyond ASCII in a character class"),
    }
}

fn named_class(name: &str) -> Option<fn(&u8) -> bool> {
    Some(match name {
        "alnum" => u8::is_ascii_alphanumeric,
        "alpha" => u8::is_ascii_alphabetic,
        "blank" => |b| matches!(b, b' ' | b'\t'),
        "cntrl" => u8::is_ascii_control,
        "digit" => u8::is_ascii_digit,
        "graph" => u8::is_ascii_graphic,
        "lower" => u8::is_ascii_lowercase,
        "print" => |b| matches!(b, b' '..=b'~'),
        "punct" => u8::is_ascii_punctuation,
        "space" => u8::is_ascii_whitespace,
        "upper" => u8::is_ascii_uppercase,
        "xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}
