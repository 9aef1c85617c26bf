//! The `tollgate` binary: hands the command line to [`tollgate::cli`] and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::main()
}
