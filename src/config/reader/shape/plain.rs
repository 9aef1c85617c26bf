//! Values without their places, as the rest of the program uses them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::scalars::Bytes;
use super::{At, Cap, Hidden, PerOrg, Section, Shape, Size, Usd};
use crate::ids::{OrgId, Secret};

/// A type whose values are used as given, without their places.
pub trait Plain: Shape {
    /// The type of such a value.
    type Plain;
    /// Returns the value.
    fn plain(&self) -> Self::Plain;
}

/// A value for each organisation.
#[derive(Clone, Debug)]
pub struct ByOrg<T> {
    /// Holds for all organisations without a value of their own.
    pub default: T,
    pub orgs: HashMap<OrgId, T>,
}

impl<T> ByOrg<T> {
    /// The value of an organisation.
    pub fn of(&self, org: &OrgId) -> &T {
        self.orgs.get(org).unwrap_or(&self.default)
    }

    /// All values.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.default).chain(self.orgs.values())
    }
}

impl<T> PerOrg<T> {
    /// The checked value of the section and of each override; `None` if one cannot be made. All of
    /// them are checked, so that every problem is found.
    pub fn checked<C>(&self, mut check: impl FnMut(&T) -> Option<C>) -> Option<ByOrg<C>> {
        let default = check(&self.base);
        let orgs: Vec<_> = self.orgs.iter().map(|(org, own)| (org, check(&own.value))).collect();
        let orgs = orgs.into_iter().map(|(org, own)| Some((org.clone(), own?)));
        Some(ByOrg { orgs: orgs.collect::<Option<_>>()?, default: default? })
    }
}

macro_rules! plain {
    ($($ty:ty),*) => { $(
        impl Plain for $ty {
            type Plain = $ty;
            fn plain(&self) -> $ty {
                self.clone()
            }
        }
    )* };
}
plain!(bool, u32, u64, usize, f64, String, Secret, PathBuf, Duration, OrgId);

impl<N: Bytes> Plain for Size<N> {
    type Plain = N;
    fn plain(&self) -> N {
        self.0
    }
}

impl<T: Plain> Plain for Option<T> {
    type Plain = Option<T::Plain>;
    fn plain(&self) -> Self::Plain {
        self.as_ref().map(T::plain)
    }
}

impl<T: Plain> Plain for Cap<T> {
    type Plain = Option<T::Plain>;
    fn plain(&self) -> Self::Plain {
        self.0.plain()
    }
}

impl<T: Plain> Plain for Vec<At<T>> {
    type Plain = Vec<T::Plain>;
    fn plain(&self) -> Self::Plain {
        self.iter().map(|entry| entry.value.plain()).collect()
    }
}

impl<T: Plain> Plain for Hidden<T> {
    type Plain = T::Plain;
    fn plain(&self) -> T::Plain {
        self.0.plain()
    }
}

impl Plain for Usd {
    type Plain = u64;
    fn plain(&self) -> u64 {
        self.0
    }
}

impl<T: Plain + Section> Plain for PerOrg<T> {
    type Plain = ByOrg<T::Plain>;
    fn plain(&self) -> Self::Plain {
        let orgs = self.orgs.iter().map(|(org, own)| (org.clone(), own.value.plain()));
        ByOrg { default: self.base.plain(), orgs: orgs.collect() }
    }
}

/// The options that a section of this YAML gives; tests take the defaults of all other keys from
/// it.
#[cfg(test)]
pub fn options<T: Plain + Section>(yaml: &str) -> T::Plain {
    let mut problems = super::Problems::default();
    let node = super::super::yaml::parse(yaml, None, &mut problems).expect("YAML");
    let section = T::read(&node, &mut problems);
    assert!(problems.is_empty(), "{problems}");
    section.expect("a section without problems").plain()
}
