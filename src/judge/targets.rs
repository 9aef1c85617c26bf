//! The target that a policy would have asked first.
//!
//! Guarantees: two lists that say the same are no difference, whatever chance would have chosen.
//! Does not: ask anything.

use std::sync::Arc;

use crate::config::policy::{Spread, Target, Targets};
use crate::route::balance::{self, Load};

/// A target by name: the provider, and the model's name there.
pub(crate) type Named = (Arc<str>, String);

/// Whether both lists say the same about where a call goes.
pub(crate) fn are_alike(a: &Targets, b: &Targets) -> bool {
    let alike = |(a, b): (&Target, &Target)| {
        a.provider.name == b.provider.name && a.model == b.model && a.weight == b.weight
    };
    a.spread == b.spread
        && a.sticky == b.sticky
        && a.list.len() == b.list.len()
        && a.list.iter().zip(&b.list).all(alike)
}

/// The target that is asked first. `draw` is in 0..1; `own_key`: the caller brings a key, which is
/// for the first target alone.
pub(crate) fn first<'t>(
    targets: &'t Targets,
    caller: &str,
    own_key: bool,
    draw: f64,
    load: impl Fn(&Target) -> Load,
) -> Option<&'t Target> {
    let list = &targets.list;
    if own_key {
        return list.first();
    }
    if targets.spread == Spread::InOrder {
        return list.iter().find(|target| !load(target).open).or(list.first());
    }
    list.get(*balance::order(targets, caller, draw, load).first()?)
}

/// The names of a target for calls that ask for `model`.
pub(crate) fn named(target: &Target, model: Option<&str>) -> Named {
    let model = target.model.as_deref().or(model).unwrap_or_default();
    (Arc::clone(&target.provider.name), model.to_owned())
}
