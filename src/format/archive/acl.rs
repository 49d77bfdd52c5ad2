//! Converts POSIX ACLs from the kernel's xattr form to the text form of tar archives.
//!
//! The xattr (`linux/posix_acl_xattr.h`) is little-endian: version 2 (u32), then for each entry the tag
//! (u16), the permissions (u16) and the id (u32). The text is a list of entries `TAG:QUALIFIER:PERMISSIONS`
//! with commas between them, for example `user::rw-,user:1000:rwx`.

/// The key and the value of the record if the xattr is an ACL in this form. `None` otherwise: the caller then
/// stores the value as an ordinary xattr.
pub(super) fn record(name: &[u8], value: &[u8]) -> Option<(&'static [u8], String)> {
    let key: &[u8] = match name {
        b"system.posix_acl_access" => b"SCHILY.acl.access",
        b"system.posix_acl_default" => b"SCHILY.acl.default",
        _ => return None,
    };
    Some((key, text(value)?))
}

fn text(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    if entries.is_empty() || entries.len() % 8 != 0 {
        return None;
    }
    let lines: Option<Vec<String>> = entries.chunks_exact(8).map(entry).collect();
    Some(lines?.join(","))
}

fn entry(bytes: &[u8]) -> Option<String> {
    let tag = u16::from_le_bytes([bytes[0], bytes[1]]);
    let permissions = u16::from_le_bytes([bytes[2], bytes[3]]);
    let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let who = match tag {
        0x01 => "user:".to_string(),
        0x02 => format!("user:{id}"),
        0x04 => "group:".to_string(),
        0x08 => format!("group:{id}"),
        0x10 => "mask:".to_string(),
        0x20 => "other:".to_string(),
        _ => return None,
    };
    if permissions > 7 {
        return None;
    }
    let may = |bit: u16, letter: char| if permissions & bit != 0 { letter } else { '-' };
    Some(format!("{who}:{}{}{}", may(4, 'r'), may(2, 'w'), may(1, 'x')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&permissions.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    #[test]
    fn every_tag_has_its_text() {
        let none = u32::MAX;
        let value =
            acl(&[(1, 6, none), (2, 7, 1000), (4, 4, none), (8, 5, 50), (0x10, 7, none), (0x20, 0, none)]);
        let (key, text) = record(b"system.posix_acl_default", &value).unwrap();
        assert_eq!(key, b"SCHILY.acl.default");
        assert_eq!(text, "user::rw-,user:1000:rwx,group::r--,group:50:r-x,mask::rwx,other::---");
    }

    #[test]
    fn what_is_no_acl_stays_an_xattr() {
        let good = acl(&[(1, 6, 0)]);
        for bad in [&b""[..], &good[..4], &good[..11], &acl(&[(3, 6, 0)]), &acl(&[(1, 8, 0)]), b"\x01\0\0\0"]
        {
            assert_eq!(record(b"system.posix_acl_access", bad), None, "{bad:?}");
        }
        assert_eq!(record(b"user.x", &good), None);
    }
}
