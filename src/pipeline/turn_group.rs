//! The number of a turn group: callers whose bodies take turns together.
//!
//! A leaf of this room. Pure. Does not say which callers are in a group (`turns` does).

/// A turn group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TurnGroup(pub(super) u16);

#[cfg(test)]
impl TurnGroup {
    /// A group of a test.
    pub fn of_test(number: u16) -> TurnGroup {
        TurnGroup(number)
    }
}
