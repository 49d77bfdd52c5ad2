//! The header of a member: the ustar block, after an `x` header with records for values that ustar cannot
//! hold.

use tar::{EntryType, Header};

use super::{Special, acl, pad_to_block, push_record};
use crate::entry::Metadata;
use crate::stamp::Time;

/// The encoded records of an `x` header.
pub(super) type PaxRecords = Vec<u8>;

/// The largest number of an 8-byte ustar field: 7 octal digits and a NUL.
const OCTAL_7: u64 = 0o7_777_777;
/// The largest number of a 12-byte ustar field: 11 octal digits and a NUL.
const OCTAL_11: u64 = 0o77_777_777_777;

/// The contents of one member's header.
pub(super) struct Head<'a> {
    pub name: Vec<u8>,
    meta: &'a Metadata,
    entry_type: EntryType,
    /// Bytes of the member after the header, without padding.
    size: u64,
    /// The target of a symbolic link, or the other name of a hard link; else empty.
    link: &'a [u8],
    /// The number of a device (`st_rdev`).
    device: Option<u64>,
    /// Records that are written before all others.
    extra: PaxRecords,
    /// True if `extra` holds the member's name. No `path` record is written then: some readers would use that
    /// name instead.
    is_named: bool,
}

impl<'a> Head<'a> {
    pub fn file(name: Vec<u8>, meta: &'a Metadata, size: u64) -> Self {
        let (entry_type, extra) = (EntryType::Regular, PaxRecords::new());
        Head { name, meta, entry_type, size, link: &[], device: None, extra, is_named: false }
    }

    /// A file with holes, whose real name is in `records`. Readers that do not know these records see the
    /// name `stand_in`, or only a part of it if it is long.
    pub fn sparse(stand_in: Vec<u8>, records: PaxRecords, meta: &'a Metadata, size: u64) -> Self {
        Head { extra: records, is_named: true, ..Head::file(stand_in, meta, size) }
    }

    pub fn special(name: Vec<u8>, meta: &'a Metadata, what: Special<'a>) -> Self {
        let mut head = Head::file(name, meta, 0);
        head.entry_type = match what {
            Special::Dir => EntryType::Directory,
            Special::Symlink(_) => EntryType::Symlink,
            Special::Fifo => EntryType::Fifo,
            Special::Char(_) => EntryType::Char,
            Special::Block(_) => EntryType::Block,
            Special::HardLink(_) => EntryType::Link,
        };
        match what {
            Special::Dir if !head.name.ends_with(b"/") => head.name.push(b'/'),
            Special::Symlink(target) => head.link = target,
            Special::HardLink(first) => head.link = first.as_bytes(),
            Special::Char(rdev) | Special::Block(rdev) => head.device = Some(rdev),
            _ => {}
        }
        head
    }

    /// Appends the encoded header to `out`. `Err` names a value that is too long for tar.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut records = self.extra.clone();
        let mut header = Header::new_ustar();
        header.set_entry_type(self.entry_type);
        let usual = if self.entry_type == EntryType::Directory { 0o755 } else { 0o644 };
        header.set_mode(self.meta.mode.unwrap_or(usual));
        self.set_names(&mut header, &mut records);
        self.set_owner(&mut header, &mut records);
        self.set_numbers(&mut header, &mut records);
        self.set_xattrs(&mut records);
        header.set_cksum();
        if !records.is_empty() {
            self.encode_records(&records, out)?;
        }
        out.extend_from_slice(header.as_bytes());
        Ok(())
    }

    /// Appends the `x` header block and `records`, padded to a block.
    fn encode_records(&self, records: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_mtime(ustar_seconds(self.meta.mtime));
        let mut name = b"PaxHeaders/".to_vec();
        name.extend_from_slice(last_component(&self.name));
        put(&mut ustar(&mut header).name, &name);
        let size = records.len() as u64;
        if size > OCTAL_11 {
            return Err("its extended attributes are too long");
        }
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(records);
        pad_to_block(out);
        Ok(())
    }

    fn set_names(&self, header: &mut Header, records: &mut PaxRecords) {
        let fields = ustar(header);
        match split_name(&self.name) {
            Some((prefix, name)) => {
                put(&mut fields.prefix, prefix);
                put(&mut fields.name, name);
            }
            None => {
                if !self.is_named {
                    push_record(records, b"path", &self.name);
                }
                put(&mut fields.name, last_component(&self.name));
            }
        }
        if self.link.len() > fields.linkname.len() {
            push_record(records, b"linkpath", self.link);
        }
        put(&mut fields.linkname, self.link);
    }

    fn set_owner(&self, header: &mut Header, records: &mut PaxRecords) {
        // A tar header cannot lack an owner.
        let [uid, gid] = [self.meta.uid, self.meta.gid].map(|number| u64::from(number.unwrap_or(0)));
        header.set_uid(number(records, b"uid", uid, OCTAL_7));
        header.set_gid(number(records, b"gid", gid, OCTAL_7));
        let fields = ustar(header);
        let names = [
            (&b"uname"[..], &self.meta.user, &mut fields.uname),
            (&b"gname"[..], &self.meta.group, &mut fields.gname),
        ];
        for (key, value, field) in names {
            let Some(value) = value else { continue };
            if value.len() >= field.len() || !value.is_ascii() {
                push_record(records, key, value.as_bytes());
            } else {
                put(field, value.as_bytes());
            }
        }
    }

    fn set_numbers(&self, header: &mut Header, records: &mut PaxRecords) {
        header.set_size(number(records, b"size", self.size, OCTAL_11));
        let mtime = self.meta.mtime;
        let plain = ustar_seconds(mtime);
        header.set_mtime(plain);
        if mtime.nanos != 0 || i64::try_from(plain) != Ok(mtime.secs) {
            push_record(records, b"mtime", decimal(mtime).as_bytes());
        }
        if let Some(rdev) = self.device {
            let rdev = rdev as rustix::fs::Dev;
            let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
            let fields = ustar(header);
            fields.set_device_major(number(records, b"SCHILY.devmajor", major.into(), OCTAL_7) as u32);
            fields.set_device_minor(number(records, b"SCHILY.devminor", minor.into(), OCTAL_7) as u32);
        }
    }

    fn set_xattrs(&self, records: &mut PaxRecords) {
        for (name, value) in &self.meta.xattrs {
            if let Some((key, text)) = acl::record(name, value) {
                push_record(records, key, text.as_bytes());
                continue;
            }
            let mut key = b"SCHILY.xattr.".to_vec();
            for &byte in name {
                match byte {
                    b'%' => key.extend_from_slice(b"%25"),
                    b'=' => key.extend_from_slice(b"%3D"),
                    _ => key.push(byte),
                }
            }
            push_record(records, &key, value);
        }
    }
}

/// Returns the number for a ustar field. A `value` above `max` is also added to `records`, because readers
/// prefer the record to the field.
fn number(records: &mut PaxRecords, key: &[u8], value: u64, max: u64) -> u64 {
    if value > max {
        push_record(records, key, value.to_string().as_bytes());
    }
    value.min(max)
}

/// Whole seconds for a ustar field, limited to the field's range: 1970 to 2242.
fn ustar_seconds(time: Time) -> u64 {
    u64::try_from(time.secs).unwrap_or(0).min(OCTAL_11)
}

/// Seconds as a decimal number. [`Time`] counts nanoseconds upwards from the lower whole second, so before
/// 1970 the fraction changes: for example -2 s and 750,000,000 ns are -1.25 s.
fn decimal(time: Time) -> String {
    match (time.secs, time.nanos) {
        (secs, 0) => secs.to_string(),
        (secs, nanos) if secs >= 0 => format!("{secs}.{nanos:09}"),
        (secs, nanos) => format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos),
    }
}

/// Splits a name at a `/` into ustar's fields prefix and name; `None` if the fields cannot hold the name.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    const PREFIX: usize = 155;
    const NAME: usize = 100;
    if name.len() <= NAME {
        return Some((&[], name));
    }
    let earliest = name.len() - NAME - 1;
    let slash = earliest + name[earliest..name.len() - 1].iter().position(|&b| b == b'/')?;
    (1..=PREFIX).contains(&slash).then(|| (&name[..slash], &name[slash + 1..]))
}

/// The name without its directories: for header blocks whose real name is in a record.
fn last_component(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    name.rsplit(|&b| b == b'/').next().unwrap_or(name)
}

/// Copies `value` into `field`, cut at the field's length.
fn put(field: &mut [u8], value: &[u8]) {
    let len = value.len().min(field.len());
    field[..len].copy_from_slice(&value[..len]);
}

fn ustar(header: &mut Header) -> &mut tar::UstarHeader {
    header.as_ustar_mut().expect("the header was made as ustar")
}
