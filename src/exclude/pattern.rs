//! Reads a gitignore pattern as git does (dir.c and wildmatch.c) and writes it as a line with the same meaning
//! for `GitignoreBuilder`.
//!
//! The line begins with a slash, so that the builder adds nothing to it, or with `/**/` if the pattern matches
//! names at any depth. Literal punctuation is escaped, above all braces: gitignore has no alternatives, and
//! deeply nested alternatives exhaust the stack of globset. A class is written as the list of its members.

/// First member of a class without `]`, so that the class never begins with `!` or `^`. NUL matches nothing,
/// because no path contains it.
const FILLER: char = '\0';

/// Returns the line for the builder, or `None` if the pattern matches nothing. `Err` names the fault of the pattern.
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
    /// Position of the next character in `text`, in bytes.
    at: usize,
    is_path: bool,
    out: String,
    /// The pattern cannot match any path: it has an empty component or a class without members.
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

    /// Translates a run of asterisks whose first one has been read. Two or more asterisks match across slashes
    /// if they are a whole component.
    fn stars(&mut self) {
        let first = self.at - 1;
        let single = !self.rest().starts_with('*');
        self.at = self.text.len() - self.rest().trim_start_matches('*').len();
        let alone_before = first == 0 || self.text.as_bytes()[first - 1] == b'/';
        let deep = !single && self.is_path && alone_before;
        if deep && (self.rest().is_empty() || self.rest().starts_with('/')) {
            self.out.push_str("**");
        } else if deep && self.rest().starts_with("\\/") {
            // In git `**/` also matches no component at all, but `**\/` needs at least one.
            self.out.push_str("**/*");
        } else {
            self.out.push('*');
        }
    }

    fn literal(&mut self, c: char) {
        self.futile |= c == '/' && self.out.ends_with('/');
        // The builder trims white space at the end, and reads a backslash before a final slash as an escape. Braces
        // around the last character prevent both.
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

    /// Translates a class whose `[` has been read.
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

    /// Writes a class for globset, which has no escapes in classes: `]` is literal in the first place, `-` in the
    /// last place, `!` and `^` in any place but the first. In globset a negated class matches a slash, so the
    /// slash becomes a member.
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
    /// Reads the members, up to the closing `]` and with it.
    fn read(from: &mut Translator<'_>) -> Result<Self, &'static str> {
        let mut members = Members([false; 128]);
        // The character before this one, if a range can begin with it.
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

    /// Adds the members of `[:name:]`, whose first bracket has been read. If no `:name:]` follows, returns false and
    /// reads nothing.
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

/// The byte of the class member `c`. If `c` is a backslash, the member is the next character.
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
