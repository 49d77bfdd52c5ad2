//! A short mark of this machine and of its current boot, for names in directories that several machines share.
//!
//! Locks and process numbers mean something on one machine only. The mark in a name says whether the name was made on
//! this machine, and whether the machine was restarted since.

use std::fmt;

/// The machine and its current boot, each as a hash of 32 bits. A hash is 0 if the system does not report the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMark {
    machine: u32,
    boot: u32,
}

/// A comparison of a mark with the mark of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkOrigin {
    ThisBoot,
    /// This machine, before its last start: no process of that boot runs any more.
    EarlierBoot,
    /// Another machine, or an unknown one.
    Elsewhere,
}

impl MachineMark {
    /// The mark of this machine in its current boot. A container has the boot id of its host, and file locks work
    /// between the two.
    pub fn here() -> MachineMark {
        let (id, boot) = (system::machine_id(), system::boot_id());
        // Copies of a disk image have one id, so the machine's name counts too.
        let machine = id.map_or(0, |id| short_hash(&[&id[..], b"\n", &super::hostname()].concat()));
        MachineMark { machine, boot: boot.map_or(0, |boot| short_hash(&boot)) }
    }

    /// Reads the form that [`Display`](fmt::Display) writes.
    pub fn parse(digits: &[u8]) -> Option<MachineMark> {
        let (machine, boot) = std::str::from_utf8(digits).ok()?.split_at_checked(8)?;
        let number = |digits| u32::from_str_radix(digits, 16).ok();
        let mark = MachineMark { machine: number(machine)?, boot: number(boot)? };
        (mark.to_string().as_bytes() == digits).then_some(mark)
    }

    /// Says whether this machine made a name with this mark, and in which boot. `here` is the mark of this machine.
    pub fn origin(self, here: MachineMark) -> MarkOrigin {
        match self {
            _ if self.boot != 0 && self.boot == here.boot => MarkOrigin::ThisBoot,
            _ if self.machine == 0 || self.machine != here.machine => MarkOrigin::Elsewhere,
            _ if self.boot == 0 || here.boot == 0 => MarkOrigin::Elsewhere,
            _ => MarkOrigin::EarlierBoot,
        }
    }
}

/// 16 hexadecimal digits: the machine, then the boot.
impl fmt::Display for MachineMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:08x}", self.machine, self.boot)
    }
}

/// Never 0.
fn short_hash(bytes: &[u8]) -> u32 {
    let hash = blake3::hash(bytes);
    hash.as_bytes()[..4].iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)).max(1)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    fn read(path: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(path).ok()?;
        let bytes = bytes.trim_ascii();
        (!bytes.is_empty()).then(|| bytes.to_vec())
    }

    /// The random number that the kernel chose at its start.
    pub fn boot_id() -> Option<Vec<u8>> {
        read("/proc/sys/kernel/random/boot_id")
    }

    /// The number of the installation.
    pub fn machine_id() -> Option<Vec<u8>> {
        read("/etc/machine-id").filter(|id| id != b"uninitialized")
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    pub fn boot_id() -> Option<Vec<u8>> {
        None
    }

    pub fn machine_id() -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_boots_and_machines_apart() {
        let mark = |machine, boot| MachineMark { machine, boot };
        let here = mark(7, 9);
        for (other, origin) in [
            (here, MarkOrigin::ThisBoot),
            (mark(8, 9), MarkOrigin::ThisBoot),
            (mark(7, 10), MarkOrigin::EarlierBoot),
            (mark(8, 10), MarkOrigin::Elsewhere),
            (mark(0, 10), MarkOrigin::Elsewhere),
            (mark(7, 0), MarkOrigin::Elsewhere),
        ] {
            assert_eq!(other.origin(here), origin, "{other}");
        }
        // A machine without an id recognizes no mark as its own.
        assert_eq!(mark(0, 0).origin(mark(0, 0)), MarkOrigin::Elsewhere);
        assert_eq!(mark(7, 10).origin(mark(7, 0)), MarkOrigin::Elsewhere);
    }

    #[test]
    fn a_mark_survives_its_text() {
        let here = MachineMark::here();
        assert_eq!(MachineMark::parse(here.to_string().as_bytes()), Some(here));
        for wrong in [&b"000000070000000"[..], b"00000007000000090", b"+0000007 0000009", b"0000000A0000000b"]
        {
            assert_eq!(MachineMark::parse(wrong), None);
        }
    }
}
