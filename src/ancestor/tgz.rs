//! Reads the members of an archive of the ancestor: a tar, compressed by gzip, as Python's `tarfile` writes it.
//!
//! The archive may be damaged or forged. So each header must have the right checksum, the tar must end with its two
//! empty blocks, nothing but zeros may follow, and gzip's own checksum must agree. A name is a relative path without
//! `.` and `..`; only the root directory has an empty name.

use std::io::{BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, Header};

use super::decimal_time::decimal_time;
use super::read::into_error;
use crate::entry::{PATH_LEN_MAX, Path};
use crate::error::{Error, Result};
use crate::stamp::Time;

const OP: &str = "read the archive";
const BLOCK: usize = 512;
/// The longest pax header that is read, in bytes.
const PAX_LEN_MAX: u64 = 1 << 22;
/// The most bytes after the end of the tar. Python fills up a record of 10 KiB.
const PADDING_MAX: u64 = 1 << 20;

/// The type of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file, whose data follow.
    File,
    Dir,
    /// With its target.
    Symlink(Vec<u8>),
    /// Another name of an earlier member.
    HardLink(Path),
    Fifo,
    /// With major and minor number.
    Char(u32, u32),
    Block(u32, u32),
}

/// One member of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// The root directory is the empty path.
    pub path: Path,
    pub kind: MemberKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// The bytes of a regular file, else 0.
    pub size: u64,
}

/// The values that extended headers give to the next member.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<Time>,
}

/// The members of an archive, read from start to end.
pub struct Tgz<R> {
    /// The name of the archive, for errors.
    name: String,
    stream: MultiGzDecoder<R>,
    /// Bytes of the current member that are not read yet.
    left: u64,
    /// Zeros after the data of the current member.
    padding: usize,
}

impl<R: BufRead> Tgz<R> {
    pub fn new(name: &str, stored: R) -> Self {
        Tgz { name: name.to_string(), stream: MultiGzDecoder::new(stored), left: 0, padding: 0 }
    }

    /// The next member. Its data are read with [`Tgz::read_data`]; data that are not read are skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut extended = Extended::default();
        let mut is_extended = false;
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else {
                return match is_extended {
                    true => Err(self.corrupt("it ends after an extended header")),
                    false => Ok(None),
                };
            };
            let size = header.entry_size().map_err(|error| self.corrupt(error.to_string()))?;
            match header.entry_type() {
                EntryType::GNULongName => extended.path = Some(self.long_name(size)?),
                EntryType::GNULongLink => extended.link = Some(self.long_name(size)?),
                EntryType::XHeader => self.pax(size, &mut extended)?,
                _ => return self.member(&header, size, extended).map(Some),
            }
            is_extended = true;
        }
    }

    /// Reads data of the current member; 0 at their end.
    pub fn read_data(&mut self, out: &mut [u8]) -> Result<usize> {
        let want = self.left.min(out.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        match self.stream.read(&mut out[..want]) {
            Ok(0) => Err(self.cut_short()),
            Ok(got) => {
                self.left -= got as u64;
                Ok(got)
            }
            Err(error) => Err(into_error(OP, &self.name, error)),
        }
    }

    fn corrupt(&self, detail: impl Into<String>) -> Error {
        Error::corrupt(OP, &self.name, detail)
    }

    fn cut_short(&self) -> Error {
        self.corrupt("it is cut short")
    }

    fn exact(&mut self, out: &mut [u8]) -> Result<()> {
        self.stream.read_exact(out).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.cut_short(),
            _ => into_error(OP, &self.name, error),
        })
    }

    fn skip_data(&mut self) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        while self.read_data(&mut buffer)? > 0 {}
        let mut padding = [0; BLOCK];
        self.exact(&mut padding[..self.padding])?;
        self.padding = 0;
        Ok(())
    }

    /// Sets the length of the data that follow.
    fn begin_data(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
    }

    /// The next header; `None` at the end of the tar, after everything behind it was checked.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if block == [0; BLOCK] {
            return self.end().map(|()| None);
        }
        header.as_mut_bytes().copy_from_slice(&block);
        let sum = block.iter().enumerate().map(|(at, byte)| match at {
            // The checksum counts as spaces.
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        match header.cksum() {
            Ok(stored) if stored == sum.sum::<u32>() => Ok(Some(header)),
            _ => Err(self.corrupt("a header has a wrong checksum")),
        }
    }

    fn end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        let mut behind = 0;
        let mut rest = block.to_vec();
        loop {
            if rest.iter().any(|byte| *byte != 0) {
                return Err(self.corrupt("other bytes follow the end of the tar"));
            }
            rest.resize(16 << 10, 0);
            let got = self.stream.read(&mut rest).map_err(|error| into_error(OP, &self.name, error))?;
            rest.truncate(got);
            behind += got as u64;
            if got == 0 {
                return Ok(());
            }
            if behind > PADDING_MAX {
                return Err(self.corrupt("too many bytes follow the end of the tar"));
            }
        }
    }

    /// The data of an extended header.
    fn extended_data(&mut self, size: u64, max: u64) -> Result<Vec<u8>> {
        if size > max {
            return Err(self.corrupt(format!("an extended header has {size} bytes")));
        }
        self.begin_data(size);
        let mut data = vec![0; size as usize];
        self.exact(&mut data)?;
        self.left = 0;
        Ok(data)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.extended_data(size, PATH_LEN_MAX as u64 + 1)?;
        if name.pop_if(|last| *last == 0).is_none() || name.contains(&0) {
            return Err(self.corrupt("a long name does not end with its only NUL"));
        }
        Ok(name)
    }

    fn pax(&mut self, size: u64, extended: &mut Extended) -> Result<()> {
        let data = self.extended_data(size, PAX_LEN_MAX)?;
        let fault = |tgz: &Self| tgz.corrupt("a pax header has a malformed record");
        let mut rest = &data[..];
        while !rest.is_empty() {
            let (key, value, tail) = pax_record(rest).ok_or_else(|| fault(self))?;
            rest = tail;
            let text = std::str::from_utf8(value).ok();
            let number = || text?.parse::<u64>().ok();
            let time = || decimal_time(text?);
            match key {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"size" => extended.size = Some(number().ok_or_else(|| fault(self))?),
                b"uid" => extended.uid = Some(number().ok_or_else(|| fault(self))?),
                b"gid" => extended.gid = Some(number().ok_or_else(|| fault(self))?),
                b"mtime" => extended.mtime = Some(time().ok_or_else(|| fault(self))?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(self.corrupt("it has a sparse file, which the ancestor never writes"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn member(&mut self, header: &Header, size: u64, extended: Extended) -> Result<Member> {
        let name = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let of_name = |name: &[u8]| crate::text::encode_name(name).into_owned();
        let number = |value: std::io::Result<u64>, what: &str| {
            let value = value.ok().and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| self.corrupt(format!("{} has an impossible {what}", of_name(&name))))
        };
        let link = || extended.link.clone().or_else(|| Some(header.link_name_bytes()?.into_owned()));
        let no_target = || self.corrupt(format!("the link {} has no target", of_name(&name)));
        let device = |number: std::io::Result<Option<u32>>| {
            let number = number.ok().flatten();
            number.ok_or_else(|| self.corrupt(format!("the device {} has no number", of_name(&name))))
        };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Directory => MemberKind::Dir,
            EntryType::Symlink => {
                let target = link().filter(|target| !target.is_empty() && !target.contains(&0));
                MemberKind::Symlink(target.ok_or_else(no_target)?)
            }
            EntryType::Link => MemberKind::HardLink(self.path(&link().ok_or_else(no_target)?, false)?),
            EntryType::Fifo => MemberKind::Fifo,
            EntryType::Char => {
                MemberKind::Char(device(header.device_major())?, device(header.device_minor())?)
            }
            EntryType::Block => {
                MemberKind::Block(device(header.device_major())?, device(header.device_minor())?)
            }
            other => {
                let detail = format!("{} has the unknown type {:#04x}", of_name(&name), other.as_byte());
                return Err(self.corrupt(detail));
            }
        };
        let path = self.path(&name, kind == MemberKind::Dir)?;
        let mtime = match extended.mtime {
            Some(mtime) => mtime,
            // A negative number in base 256 has its sign in the bits above.
            None => {
                let secs = header.mtime().map_err(|_| {
                    self.corrupt(format!("{} has an impossible modification time", of_name(&name)))
                })?;
                Time { secs: secs as i64, nanos: 0 }
            }
        };
        let member = Member {
            mode: number(header.mode().map(u64::from), "mode")? & 0o7777,
            uid: number(extended.uid.map_or_else(|| header.uid(), Ok), "owner")?,
            gid: number(extended.gid.map_or_else(|| header.gid(), Ok), "group")?,
            size: if kind == MemberKind::File { extended.size.unwrap_or(size) } else { 0 },
            mtime,
            path,
            kind,
        };
        self.begin_data(member.size);
        Ok(member)
    }

    /// The path of a member. Only the name of a directory may end with a slash, and only that of the root directory may
    /// be empty. Other tools than Python begin each name with `./`.
    fn path(&self, name: &[u8], is_dir: bool) -> Result<Path> {
        let shown = || crate::text::encode_name(name).into_owned();
        if is_dir && matches!(name, b"" | b"/" | b"." | b"./") {
            return Ok(Path::root());
        }
        let rest = name.strip_prefix(b"./").unwrap_or(name);
        let rest = if is_dir { rest.strip_suffix(b"/").unwrap_or(rest) } else { rest };
        match Path::new(rest) {
            Ok(path) if !path.is_root() => Ok(path),
            Ok(_) => Err(self.corrupt("a member has no name")),
            Err(fault) => Err(self.corrupt(format!("the name {}: {fault}", shown()))),
        }
    }
}

/// The data of the current member, for readers that want a [`Read`].
impl<R: BufRead> Read for Tgz<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.read_data(out).map_err(std::io::Error::other)
    }
}

/// Splits `LENGTH KEY=VALUE\n` from the records after it.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_are_cut_by_their_lengths() {
        let bytes = b"12 path=a=b\n16 mtime=-1.250\n";
        let (key, value, rest) = pax_record(bytes).unwrap();
        assert_eq!((key, value), (&b"path"[..], &b"a=b"[..]));
        let (key, value, rest) = pax_record(rest).unwrap();
        assert_eq!((key, value, rest), (&b"mtime"[..], &b"-1.250"[..], &b""[..]));
        for wrong in
            ["", "12", "5 a=b\n", "99 path=a\n", "8 path\n", "11 path=a=b\n", "x path=a\n", "2 a=b\n"]
        {
            assert!(pax_record(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }
}
