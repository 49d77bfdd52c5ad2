//! A JSON object taken apart field by field: for header and trailer, which are read once.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::UNKNOWN_MAX;
use crate::entry::Unknown;

/// The fields that were not taken yet, in their order.
pub(super) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object; repeated keys are refused.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The value of `key`, if it is there.
    pub fn take<T: Deserialize<'a>>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(at) = self.0.iter().position(|(name, _)| name == key) else { return Ok(None) };
        let (_, raw) = self.0.remove(at);
        serde_json::from_str(raw.get()).map(Some).map_err(|error| format!("{key}: {error}"))
    }

    pub fn need<T: Deserialize<'a>>(&mut self, key: &str) -> Result<T, String> {
        self.take(key)?.ok_or_else(|| format!("{key} is missing"))
    }

    /// A string that `parse` understands.
    pub fn need_text<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let text: String = self.need(key)?;
        parse(&text).ok_or_else(|| format!("{key} is not valid"))
    }

    /// All that was not taken.
    pub fn rest(self) -> Unknown {
        self.0.into_iter().map(|(key, raw)| (key, raw.get().to_string())).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor).map(Object)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut fields, mut seen) = (Vec::new(), HashSet::new());
        while let Some((key, raw)) = map.next_entry::<String, &RawValue>()? {
            if fields.len() == UNKNOWN_MAX || !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!(
                    "{key:?} is repeated, or there are too many fields"
                )));
            }
            fields.push((key, raw));
        }
        Ok(fields)
    }
}

/// A list of at most `N` elements: the next one is refused before it is kept.
pub(super) struct Capped<T, const N: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Capped<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(CappedVisitor(PhantomData))
    }
}

struct CappedVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for CappedVisitor<T, N> {
    type Value = Capped<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut held = Vec::new();
        while let Some(element) = seq.next_element()? {
            if held.len() == N {
                return Err(A::Error::custom("too many elements"));
            }
            held.push(element);
        }
        Ok(Capped(held))
    }
}
