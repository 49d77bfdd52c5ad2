//! Inode flags: the properties of files and directories that `chattr` sets.

use super::is_word;

/// The flags of an entry. Flags that this version knows are bits. Other flags, which a newer version wrote, are words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InodeFlags {
    known: u32,
    /// Ascending. None of them is in [`WORDS`].
    unknown: Vec<String>,
}

/// The words of all known flags in states, ascending, each with its bit.
const WORDS: [(&str, u32); 14] = [
    ("append", InodeFlags::APPEND),
    ("casefold", InodeFlags::CASEFOLD),
    ("compress", InodeFlags::COMPRESS),
    ("dax", InodeFlags::DAX),
    ("dirsync", InodeFlags::DIRSYNC),
    ("immutable", InodeFlags::IMMUTABLE),
    ("journal", InodeFlags::JOURNAL),
    ("noatime", InodeFlags::NOATIME),
    ("nocompress", InodeFlags::NOCOMPRESS),
    ("nocow", InodeFlags::NOCOW),
    ("nodump", InodeFlags::NODUMP),
    ("projinherit", InodeFlags::PROJINHERIT),
    ("sync", InodeFlags::SYNC),
    ("topdir", InodeFlags::TOPDIR),
];

/// The most words of one entry.
const WORDS_MAX: usize = 64;

impl InodeFlags {
    pub const APPEND: u32 = 1;
    pub const CASEFOLD: u32 = 1 << 1;
    pub const COMPRESS: u32 = 1 << 2;
    pub const DAX: u32 = 1 << 3;
    pub const DIRSYNC: u32 = 1 << 4;
    pub const IMMUTABLE: u32 = 1 << 5;
    pub const JOURNAL: u32 = 1 << 6;
    pub const NOATIME: u32 = 1 << 7;
    pub const NOCOMPRESS: u32 = 1 << 8;
    pub const NOCOW: u32 = 1 << 9;
    pub const NODUMP: u32 = 1 << 10;
    pub const PROJINHERIT: u32 = 1 << 11;
    pub const SYNC: u32 = 1 << 12;
    pub const TOPDIR: u32 = 1 << 13;
    /// The flags that forbid further changes of the file.
    pub const PROTECTIVE: u32 = InodeFlags::APPEND | InodeFlags::IMMUTABLE;
    /// The flags that a file system also sets itself, without another ctime: Btrfs sets `nocompress` on a file that its
    /// compression did not make smaller.
    pub const OF_SYSTEM: u32 = InodeFlags::NOCOMPRESS;

    /// The flags with these bits.
    pub fn of(known: u32) -> Self {
        InodeFlags { known, unknown: Vec::new() }
    }

    /// Reads words, which must be ascending. `Err` names the broken rule.
    pub fn of_words(words: &[&str]) -> Result<Self, &'static str> {
        if words.len() > WORDS_MAX {
            return Err("more than 64 flags");
        }
        if words.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("flags repeated or out of order");
        }
        let mut flags = InodeFlags::default();
        for &word in words {
            if !is_word(word.as_bytes()) {
                return Err("a flag is not a word of 1 to 32 letters");
            }
            match WORDS.binary_search_by_key(&word, |&(word, _)| word) {
                Ok(at) => flags.known |= WORDS[at].1,
                Err(_) => flags.unknown.push(word.into()),
            }
        }
        Ok(flags)
    }

    /// The bits of the known flags.
    pub fn known(&self) -> u32 {
        self.known
    }

    pub fn has(&self, bits: u32) -> bool {
        self.known & bits != 0
    }

    /// Whether both have the same flags, apart from those that a file system also sets itself.
    pub fn agree(&self, other: &InodeFlags) -> bool {
        (self.known ^ other.known) & !InodeFlags::OF_SYSTEM == 0 && self.unknown == other.unknown
    }

    /// The words of flags that only a newer version knows.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    pub fn is_empty(&self) -> bool {
        self.known == 0 && self.unknown.is_empty()
    }

    /// All words, ascending.
    pub fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = InodeFlags::words_of(self.known).collect();
        words.extend(self.unknown.iter().map(String::as_str));
        words.sort_unstable();
        words
    }

    /// The words of these bits, ascending.
    pub fn words_of(known: u32) -> impl Iterator<Item = &'static str> {
        WORDS.iter().filter(move |(_, bit)| known & bit != 0).map(|&(word, _)| word)
    }

    /// Approximate number of bytes of heap memory.
    pub fn heap_len(&self) -> usize {
        self.unknown.iter().map(|word| 24 + word.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_ascending_and_each_has_a_bit_of_its_own() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let all = WORDS.iter().fold(0, |all, (_, bit)| {
            assert_eq!((bit.count_ones(), all & bit), (1, 0));
            all | bit
        });
        let words: Vec<_> = InodeFlags::words_of(all).collect();
        assert_eq!(words.len(), WORDS.len());
        assert_eq!(InodeFlags::of_words(&words), Ok(InodeFlags::of(all)));
    }

    #[test]
    fn unknown_words_are_kept_in_order() {
        let words = ["append", "archive", "nodump", "verity2"];
        let flags = InodeFlags::of_words(&words).unwrap();
        assert_eq!(flags.words(), words);
        assert_eq!(flags.unknown(), ["archive", "verity2"]);
    }

    #[test]
    fn malformed_words_are_refused() {
        let long = "x".repeat(33);
        for words in [&["b", "a"][..], &["a", "a"], &[""], &["A"], &["a b"], &["a\u{e9}"], &[&long]] {
            assert!(InodeFlags::of_words(words).is_err(), "{words:?}");
        }
        let many: Vec<String> = (0..=WORDS_MAX).map(|n| format!("w{n:03}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(InodeFlags::of_words(&many).is_err() && InodeFlags::of_words(&many[1..]).is_ok());
    }
}
