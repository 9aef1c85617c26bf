//! Objects of a request: the known fields, and the names of the others.

use std::borrow::Cow;

use serde::Deserialize;

/// A key, borrowed if it holds no escape.
#[derive(Deserialize)]
pub(crate) struct Key<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Unknown fields whose names are kept of one object.
pub(crate) const UNKNOWN_MAX: usize = 32;

/// Declares a struct that is read from a JSON object: each field is optional, null is absent, and
/// the names of fields that are not listed are kept in `unknown`. An error names the field.
macro_rules! object {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> {
        $($(#[$field_meta:meta])* $key:literal => $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $name<$life> {
            $($(#[$field_meta])* pub(crate) $field: Option<$type>,)*
            /// Names of fields that are not known.
            pub(crate) unknown: Vec<std::borrow::Cow<$life, str>>,
        }

        impl<$life, 'de: $life> serde::Deserialize<'de> for $name<$life> {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Fields<$life>(std::marker::PhantomData<&$life ()>);
                impl<$life, 'de: $life> serde::de::Visitor<'de> for Fields<$life> {
                    type Value = $name<$life>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<$crate::translate::json::Key<'de>>()? {
                            match &*key.0 {
                                $($key => object.$field = map.next_value().map_err(
                                    |odd| serde::de::Error::custom(format_args!("{}: {odd}", $key)),
                                )?,)*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                    if object.unknown.len() < $crate::translate::json::UNKNOWN_MAX {
                                        object.unknown.push(key.0);
                                    } else if object.unknown.last().is_some_and(|last| last != "...") {
                                        object.unknown.push(std::borrow::Cow::Borrowed("..."));
                                    }
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                from.deserialize_map(Fields(std::marker::PhantomData))
            }
        }
    };
}

pub(crate) use object;
