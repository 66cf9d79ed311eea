//! What `sweep` and `zip` of its manifest say for one video: by this people tell the videos of a job apart. It decides
//! nothing: what follows from it stands in the other settings.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values by the names of lists, in the order of the manifest. As JSON an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept(Vec<(Arc<str>, Arc<str>)>);

impl Swept {
    /// True when no list made the video.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many lists made it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Gives a list's name another value; nothing happens when there is no such list.
    pub fn replace(&mut self, name: &str, value: &str) {
        for (_, old) in self.0.iter_mut().filter(|(known, _)| **known == *name) {
            *old = value.into();
        }
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Swept {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Self {
        Self(values.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Serialize for Swept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Swept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Swept;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Swept, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = map.next_entry::<String, String>()? {
                    values.push(value);
                }
                Ok(values.into_iter().collect())
            }
        }

        deserializer.deserialize_map(Values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_in_json() {
        let swept: Swept = [("pace", "slow"), ("animal", "fox"), ("seed", "7")].into_iter().collect();
        let text = serde_json::to_string(&swept).unwrap();
        assert_eq!(text, r#"{"pace":"slow","animal":"fox","seed":"7"}"#);
        assert_eq!(serde_json::from_str::<Swept>(&text).unwrap(), swept);
        assert!(serde_json::from_str::<Swept>("{}").unwrap().is_empty());
        assert!(serde_json::from_str::<Swept>(r#"{"seed": 7}"#).is_err());
    }

    #[test]
    fn only_what_is_there_gets_another_value() {
        let mut swept: Swept = [("animal", "fox"), ("seed", "7")].into_iter().collect();
        swept.replace("seed", "8");
        swept.replace("steps", "4");
        assert!(swept.iter().eq([("animal", "fox"), ("seed", "8")]));
    }
}
