//! A trial of a server: each script once, on keys of the trial's own.
//!
//! It shows that the server takes writes and memory, that the user may run all commands of the
//! scripts, and it leaves the scripts in the server. The keys expire.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult, ServerErrorKind, Value};

use super::script::{Invocation, Scripts};

/// Runs all scripts at the server that has the slot of `tag`.
///
/// # Errors
/// The server refuses, or the connection is gone. Slots on their way to another server are none.
pub async fn run(
    scripts: &Scripts,
    tag: &str,
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let key = |name: &str| format!("tollgate:{{{tag}}}:trial:{name}");
    let call = format!("{:08x}", fastrand::u32(..));
    let (bucket, window, places, money) = (key("r"), key("w"), key("f"), key("d"));

    let mut decide = scripts.decide.prepare();
    decide.key(&bucket).key(&window).arg("b").arg(60_000).arg(60_000).arg(1).arg("");
    decide.key(&window).key(&window).arg("w").arg(60_000).arg(0).arg(0).arg(&call);
    decide.key(&places).key(&places).arg("f").arg(60_000).arg(60_000).arg(0).arg(&call);
    decide.key(&money).key(&money).arg("s").arg(1_000_000_000).arg(1).arg(60).arg(1);
    // A bucket that is not there yet takes another path, and so does a lease that is.
    let mut lease = scripts.lease.prepare();
    let fresh = key(&format!("l:{call}"));
    lease.key(&fresh).key(&window).arg(60_000).arg(60_000).arg(2).arg(10).arg(500);
    lease.arg("trial").arg(0);
    let mut settle = scripts.settle.prepare();
    // A full server refuses a script whose first change takes memory, and no other.
    settle.key(&bucket).arg("b").arg(60_000).arg(-3);
    settle.key(&places).arg("f").arg(&call).arg("");
    settle.key(&money).arg("s").arg(-1).arg("");
    settle.key(&key("p")).arg("p").arg(1).arg(60);
    let mut settled = scripts.settled.prepare();
    settled.key(&key("p"));
    let mut claim = scripts.claim.prepare();
    claim.key(&key("a")).arg(&call).arg(60);

    for script in [&settle, &decide, &lease, &lease, &settle, &settled, &claim] {
        ran(script, connection).await?;
    }
    Ok(())
}

async fn ran(
    script: &Invocation<'_>,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Value> {
    match script.send(connection, false).await {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Server(
                    ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain
                )
            ) =>
        {
            Ok(Value::Nil)
        }
        answer => answer,
    }
}
