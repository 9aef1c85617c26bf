//! The keys of `cors`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Shape, section};
use super::DAY;

section! {
    /// Calls from pages of other origins. A page needs a token as every other caller does.
    RawCors {
        /// Origins whose pages may call; `*` alone stands for any origin.
        origins: Vec<At<String>> = "[]", eg "https://app.example.com";
        /// Request headers that such a page may send besides those of the SDKs.
        headers: Vec<At<String>> = "[]", eg "x-team";
        /// Time for which a browser may cache the answer to a preflight.
        max_age: Duration = "1h" in Duration::ZERO..=DAY;
    }
}
