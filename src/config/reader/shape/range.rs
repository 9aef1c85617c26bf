//! Ranges of values: `max_retries: u32 = "2" in 0..=10`.
//!
//! One declaration gives the check, its message, the bounds in the JSON Schema and the words in the
//! documentation. A number, a duration, a size and an amount have a range of values; text has a
//! range of bytes, a list one of entries.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::values;
use super::scalars::Bytes;
use super::{At, Cap, Hidden, Shape, Size, Usd};
use crate::money::decimal;

/// A type of value that may have a range.
pub trait Ranged: Shape {
    /// The type of the bounds.
    type Bound: PartialOrd;
    /// The unit of the bounds, where it is not a part of their text.
    const UNIT: &'static str = "";
    /// Further values that are allowed.
    const OR: &'static str = "";
    /// The names of the bounds in JSON Schema.
    const SCHEMA: [&'static str; 2] = ["minimum", "maximum"];
    /// The value that is compared with the bounds; `None` if there is nothing to compare.
    fn measure(&self) -> Option<Self::Bound>;
    /// A bound as people write it.
    fn show(bound: &Self::Bound) -> String;
    /// A bound in JSON Schema; `None` for types that are strings with a unit.
    fn number(bound: &Self::Bound) -> Option<Json>;
}

/// A range, described.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `0 to 10`.
    pub text: String,
    names: [&'static str; 2],
    bounds: [Option<Json>; 2],
}

impl Limits {
    /// The description of a range of `T`.
    pub fn of<T: Ranged>(range: &RangeInclusive<T::Bound>) -> Limits {
        let unit = if T::UNIT.is_empty() { String::new() } else { format!(" {}", T::UNIT) };
        Limits {
            text: format!("{} to {}{unit}", T::show(range.start()), T::show(range.end())),
            names: T::SCHEMA,
            bounds: [T::number(range.start()), T::number(range.end())],
        }
    }

    /// Adds the bounds to the schema of a value.
    pub fn limit(&self, schema: &mut Json) {
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(choices) = object.get_mut("anyOf").and_then(Json::as_array_mut) {
            choices.iter_mut().for_each(|choice| self.limit(choice));
            return;
        }
        let is_number =
            matches!(object.get("type").and_then(Json::as_str), Some("integer" | "number"));
        if is_number != (self.names[0] == "minimum") || object.contains_key("const") {
            return;
        }
        for (name, bound) in self.names.iter().zip(&self.bounds) {
            if let Some(bound) = bound {
                object.insert((*name).to_owned(), bound.clone());
            }
        }
    }
}

/// The reason why a value is outside of its range; `None` if it is inside.
pub fn refusal<T: Ranged>(value: &T, range: &RangeInclusive<T::Bound>) -> Option<String> {
    let measure = value.measure().filter(|measure| !range.contains(measure))?;
    let Limits { text, .. } = Limits::of::<T>(range);
    let unit = T::UNIT;
    let shown = T::show(&measure);
    Some(match unit {
        "" => format!("{shown} is not allowed; give {text}{}", T::OR),
        _ => format!("has {shown} {unit}; give {text}{}", T::OR),
    })
}

macro_rules! numbers {
    ($($ty:ty),*) => { $(
        impl Ranged for $ty {
            type Bound = $ty;
            fn measure(&self) -> Option<$ty> {
                Some(*self)
            }
            fn show(bound: &$ty) -> String {
                bound.to_string()
            }
            fn number(bound: &$ty) -> Option<Json> {
                Some(json!(bound))
            }
        }
    )* };
}
numbers!(u32, u64, usize, f64);

impl Ranged for Duration {
    type Bound = Duration;
    fn measure(&self) -> Option<Duration> {
        Some(*self)
    }
    fn show(bound: &Duration) -> String {
        values::show_duration(*bound)
    }
    fn number(_: &Duration) -> Option<Json> {
        None
    }
}

impl<N: Bytes> Ranged for Size<N> {
    type Bound = u64;
    fn measure(&self) -> Option<u64> {
        Some(self.0.count())
    }
    fn show(bound: &u64) -> String {
        values::show_size(*bound)
    }
    fn number(bound: &u64) -> Option<Json> {
        Some(json!(bound))
    }
}

impl Ranged for Usd {
    type Bound = Usd;
    fn measure(&self) -> Option<Usd> {
        Some(*self)
    }
    fn show(bound: &Usd) -> String {
        decimal(bound.0)
    }
    fn number(bound: &Usd) -> Option<Json> {
        serde_json::from_str(&decimal(bound.0)).ok()
    }
}

/// The length in bytes, without white space at the ends.
impl Ranged for String {
    type Bound = usize;
    const UNIT: &'static str = "bytes";
    const SCHEMA: [&'static str; 2] = ["minLength", "maxLength"];
    fn measure(&self) -> Option<usize> {
        Some(self.trim().len())
    }
    fn show(bound: &usize) -> String {
        bound.to_string()
    }
    /// JSON Schema counts characters, of which a text has no more than bytes. A type that is more
    /// than a string takes no such bounds.
    fn number(bound: &usize) -> Option<Json> {
        Some(json!(bound))
    }
}

impl<T: Shape> Ranged for Vec<At<T>> {
    type Bound = usize;
    const UNIT: &'static str = "entries";
    const SCHEMA: [&'static str; 2] = ["minItems", "maxItems"];
    fn measure(&self) -> Option<usize> {
        Some(self.len())
    }
    fn show(bound: &usize) -> String {
        bound.to_string()
    }
    fn number(bound: &usize) -> Option<Json> {
        Some(json!(bound))
    }
}

macro_rules! inner {
    ($ty:ident, $or:expr) => {
        impl<T: Ranged> Ranged for $ty<T> {
            type Bound = T::Bound;
            const UNIT: &'static str = T::UNIT;
            const OR: &'static str = $or;
            const SCHEMA: [&'static str; 2] = T::SCHEMA;
            fn measure(&self) -> Option<T::Bound> {
                self.inner().and_then(T::measure)
            }
            fn show(bound: &T::Bound) -> String {
                T::show(bound)
            }
            fn number(bound: &T::Bound) -> Option<Json> {
                T::number(bound)
            }
        }
    };
}
inner!(Cap, ", or `off`");
inner!(Option, T::OR);
inner!(Hidden, T::OR);

/// Access to the value inside of a type that wraps one.
trait Inner<T> {
    fn inner(&self) -> Option<&T>;
}
impl<T> Inner<T> for Cap<T> {
    fn inner(&self) -> Option<&T> {
        self.0.as_ref()
    }
}
impl<T> Inner<T> for Option<T> {
    fn inner(&self) -> Option<&T> {
        self.as_ref()
    }
}
impl<T> Inner<T> for Hidden<T> {
    fn inner(&self) -> Option<&T> {
        Some(&self.0)
    }
}
