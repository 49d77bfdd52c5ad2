//! Takes JSON objects apart field by field. The header and the trailer are read this way, once for each state.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{NESTING_MAX, UNKNOWN_BYTES_MAX, UNKNOWN_MAX};
use crate::entry::Unknown;

/// The fields of an object that were not taken yet, in their order: keys and JSON texts.
pub(super) struct JsonObject<'a>(Vec<(String, &'a RawValue)>);

impl<'a> JsonObject<'a> {
    /// Reads an object. Refuses repeated keys, in the object itself and in any object inside its values.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let object = serde_json::from_str(text).map_err(|error| error.to_string())?;
        check_keys(text)?;
        Ok(object)
    }

    /// Removes the field `key` and returns its value; `None` if there is no such field.
    pub fn take<T: Deserialize<'a>>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(at) = self.0.iter().position(|(name, _)| name == key) else { return Ok(None) };
        let (_, raw) = self.0.remove(at);
        serde_json::from_str(raw.get()).map(Some).map_err(|error| format!("{key}: {error}"))
    }

    /// Like [`JsonObject::take`], but a missing field is an error.
    pub fn need<T: Deserialize<'a>>(&mut self, key: &str) -> Result<T, String> {
        self.take(key)?.ok_or_else(|| format!("{key} is missing"))
    }

    /// Removes the field `key`, which must be a string that `parse` accepts.
    pub fn need_text<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let text: String = self.need(key)?;
        parse(&text).ok_or_else(|| format!("{key} is not valid"))
    }

    /// The fields that were not taken: the unknown fields.
    pub fn rest(self) -> Result<Unknown, String> {
        let bytes: usize = self.0.iter().map(|(key, raw)| key.len() + raw.get().len()).sum();
        if bytes > UNKNOWN_BYTES_MAX {
            return Err("unknown fields of more than 1 MiB".into());
        }
        Ok(self.0.into_iter().map(|(key, raw)| (key, raw.get().to_string())).collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor).map(JsonObject)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry::<String, &RawValue>()? {
            if fields.len() == UNKNOWN_MAX {
                return Err(A::Error::custom("too many fields"));
            }
            fields.push(field);
        }
        Ok(fields)
    }
}

/// A value made from one object of a list. Each object is converted before the next one is read, so the fields
/// of only one object are in memory at a time.
pub(super) trait FromObject: Sized {
    fn from_object(fields: JsonObject<'_>) -> Result<Self, String>;
}

/// A list of at most `N` elements. Reading fails at element `N + 1`, so a forged list cannot fill memory.
pub(super) struct Capped<T, const N: usize>(pub Vec<T>);

impl<'de, T: FromObject, const N: usize> Deserialize<'de> for Capped<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(CappedVisitor(PhantomData))
    }
}

struct CappedVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: FromObject, const N: usize> Visitor<'de> for CappedVisitor<T, N> {
    type Value = Capped<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut held = Vec::new();
        while let Some(fields) = seq.next_element::<JsonObject>()? {
            if held.len() == N {
                return Err(A::Error::custom("too many elements"));
            }
            held.push(T::from_object(fields).map_err(A::Error::custom)?);
        }
        Ok(Capped(held))
    }
}

/// Checks that no object in `json` repeats a key, in any spelling of the key (for example `"a"` and
/// `"\u0061"`), and that the nesting and the number of fields keep their limits. `json` must be valid JSON.
pub(super) fn check_keys(json: &str) -> Result<(), String> {
    // The keys of each open object; `None` for an open list.
    let mut open: Vec<Option<HashSet<Cow<'_, str>>>> = Vec::new();
    let (mut at, mut is_key) = (0, false);
    while let Some(&byte) = json.as_bytes().get(at) {
        match byte {
            b'{' | b'[' if open.len() == NESTING_MAX => {
                return Err(format!("nested more than {NESTING_MAX} deep"));
            }
            b'{' => open.push(Some(HashSet::new())),
            b'[' => open.push(None),
            b'}' | b']' => drop(open.pop()),
            _ => {}
        }
        let end = if byte == b'"' { string_end(json.as_bytes(), at) } else { at + 1 };
        match open.last_mut() {
            Some(Some(keys)) if is_key && byte == b'"' => add_key(keys, &json[at..end])?,
            _ => {}
        }
        let in_object = matches!(open.last(), Some(Some(_)));
        is_key = byte == b'{' || (byte == b',' && in_object) || (is_key && byte.is_ascii_whitespace());
        at = end;
    }
    Ok(())
}

/// The offset after the closing quote of the string whose first quote is at `at`.
fn string_end(json: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    loop {
        match json.get(end) {
            Some(b'\\') => end += 2,
            Some(b'"') => return end + 1,
            Some(_) => end += 1,
            None => return json.len(),
        }
    }
}

fn add_key<'j>(keys: &mut HashSet<Cow<'j, str>>, quoted: &'j str) -> Result<(), String> {
    let bare = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let key = match bare.contains('\\') {
        true => Cow::Owned(serde_json::from_str(quoted).map_err(|error| error.to_string())?),
        false => Cow::Borrowed(bare),
    };
    match keys.len() < UNKNOWN_MAX && keys.insert(key) {
        true => Ok(()),
        false => Err(format!("{bare:?} is repeated, or there are too many fields")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_occurs_again_is_found_at_any_depth() {
        for good in [
            "{}",
            "[]",
            "7",
            "\"{\\\"a\\\":1,\\\"a\\\":2}\"",
            "{\"a\":1,\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":\"a\"}]}",
            "{\"a\":[\"a\",\"a\"],\"\\\"\":[{}],\"b\\\\\":\"b\\\\\"}",
        ] {
            assert_eq!(check_keys(good), Ok(()), "{good}");
        }
        for bad in [
            "{\"a\":1,\"a\":1}",
            "{\"a\":1 , \"a\" :1}",
            "{ \"a\":1,\n\"\\u0061\":1}",
            "[0,{\"b\":[{\"a\":{},\"c\":[1,2],\"a\":1}]}]",
            "{\"\\ud800\":1}",
            "{\"a\\\"\":1,\"a\\\"\":1}",
        ] {
            assert!(check_keys(bad).is_err(), "{bad}");
        }
        let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check_keys(&nested(NESTING_MAX)).is_ok() && check_keys(&nested(NESTING_MAX + 1)).is_err());
        let wide = |n| format!("{{{}}}", (0..n).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        assert!(check_keys(&wide(UNKNOWN_MAX)).is_ok() && check_keys(&wide(UNKNOWN_MAX + 1)).is_err());
    }
}
