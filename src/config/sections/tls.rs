//! The keys of the `tls` of a listener: the applications' side and the operators' side have the same.

use std::path::PathBuf;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Shape, section};

section! {
    /// PEM files. They are read again when they change.
    RawTls => struct Tls: Clone {
        /// Certificate chain.
        cert_file: PathBuf;
        /// Private key.
        key_file: PathBuf;
        /// If set, clients must present a certificate that one of these authorities has signed.
        client_ca_file: Option<PathBuf> = "null";
    }
}
