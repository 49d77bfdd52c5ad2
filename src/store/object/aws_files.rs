//! The files of the AWS command line: `~/.aws/credentials` and `~/.aws/config`. Of them only the keys of a profile, its
//! region and its endpoint are read. Profiles that name a role, a process or single sign-on are not supported.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::url::OPEN;
use crate::error::{Error, Kind, Result};

/// The settings of a profile, by their names in the files: `aws_access_key_id`, `region` and so on.
pub type Profile = BTreeMap<String, String>;

/// Reads the profile `$AWS_PROFILE`, or `default`. `NotFound` if the environment names a profile that no file has. A
/// file that does not exist counts as empty.
pub fn profile(environment: impl Fn(&str) -> Option<OsString>) -> Result<Profile> {
    let wanted = environment("AWS_PROFILE").filter(|name| !name.is_empty());
    let name = wanted.as_ref().map_or("default".into(), |name| name.to_string_lossy());
    let path = |variable: &str, file: &str| {
        let home = || environment("HOME").map(|home| PathBuf::from(home).join(".aws").join(file));
        environment(variable).map(PathBuf::from).or_else(home)
    };
    let mut settings = Profile::new();
    let mut found = false;
    // The file of credentials comes second, because its settings win.
    let files = [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")];
    for path in files.into_iter().filter_map(|(variable, file)| path(variable, file)) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("read", path.as_os_str().as_encoded_bytes(), &error)),
        };
        if let Some(section) = section(&text, &name) {
            found = true;
            settings.extend(section);
        }
    }
    match wanted {
        Some(_) if !found => {
            let detail = format!("no file of AWS has the profile {name} that AWS_PROFILE names");
            Err(Error::new(Kind::NotFound, OPEN, detail))
        }
        _ => Ok(settings),
    }
}

/// The settings of a section, `[NAME]` or `[profile NAME]`. `None` if the text has no such section.
fn section(text: &str, name: &str) -> Option<Profile> {
    let mut settings = None;
    let mut is_ours = false;
    for line in text.lines() {
        // The lines of a nested setting are indented.
        if line.starts_with(['#', ';', ' ', '\t']) {
            continue;
        }
        if let Some(title) = line.trim_end().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let title = title.trim();
            is_ours = title == name || title.strip_prefix("profile").is_some_and(|rest| rest.trim() == name);
            if is_ours {
                settings.get_or_insert_with(Profile::new);
            }
        } else if let (true, Some((key, value))) = (is_ours, line.split_once('=')) {
            let settings = settings.get_or_insert_with(Profile::new);
            settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_string());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = D\n\n[work]\nAWS_ACCESS_KEY_ID=W\naws_secret_access_key = a=b\n";
    const CONFIG: &str =
        "[default]\nregion=eu-west-1\n[profile work]\nregion = eu-north-1\ns3 =\n  region = no\n";

    #[test]
    fn a_profile_is_read_from_both_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        std::fs::write(dir.path().join(".aws/config"), CONFIG).unwrap();
        let read = |wanted: Option<&str>| {
            profile(|name| match name {
                "HOME" => Some(dir.path().into()),
                "AWS_PROFILE" => wanted.map(Into::into),
                _ => None,
            })
        };
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect::<Profile>()
        };
        assert_eq!(read(None).unwrap(), pairs(&[("aws_access_key_id", "D"), ("region", "eu-west-1")]));
        let work = [
            ("aws_access_key_id", "W"),
            ("aws_secret_access_key", "a=b"),
            ("region", "eu-north-1"),
            ("s3", ""),
        ];
        assert_eq!(read(Some("work")).unwrap(), pairs(&work));
        assert_eq!(read(Some("none")).unwrap_err().kind, Kind::NotFound);
        assert_eq!(profile(|_| None).unwrap(), Profile::new());
    }
}
