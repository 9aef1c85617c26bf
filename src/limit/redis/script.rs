//! A script with its keys and arguments, and how it is sent.
//!
//! Guarantees: all keys of an invocation are in one slot of a cluster if its caller gives those of
//! one organisation. A server that does not know the script gets it with the call. Does not: time
//! out, or follow redirections (see `servers`).

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisResult, RedisWrite, ServerErrorKind, ToRedisArgs, Value};

/// A script of ours.
pub struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    /// The script with this code.
    pub fn new(code: &'static str) -> Script {
        Script { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// An invocation without keys and arguments.
    pub fn prepare(&self) -> Invocation<'_> {
        Invocation { script: self, keys: Vec::new(), args: Vec::new() }
    }
}

/// The scripts that all servers know.
pub struct Scripts {
    /// Decides on all limits of a call.
    pub decide: Script,
    /// Settles calls that are over.
    pub settle: Script,
    /// Takes several calls at once.
    pub lease: Script,
    /// Gateway keys that replicas share.
    pub keys: Script,
    /// Claims something for one gateway.
    pub claim: Script,
    /// The settled sums of budgets.
    pub settled: Script,
}

impl Default for Scripts {
    fn default() -> Scripts {
        Scripts {
            decide: Script::new(include_str!("decide.lua")),
            settle: Script::new(include_str!("settle.lua")),
            lease: Script::new(include_str!("lease.lua")),
            keys: Script::new(include_str!("keys.lua")),
            claim: Script::new(include_str!("claim.lua")),
            settled: Script::new(include_str!("settled.lua")),
        }
    }
}

/// A script with its keys and arguments.
pub struct Invocation<'s> {
    script: &'s Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Invocation<'_> {
    /// Adds a key.
    pub fn key(&mut self, key: &str) -> &mut Self {
        RedisWrite::write_arg(&mut self.keys, key.as_bytes());
        self
    }

    /// Adds an argument.
    pub fn arg<T: ToRedisArgs>(&mut self, arg: T) -> &mut Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    /// The first key, by which a cluster finds the server.
    pub fn first_key(&self) -> &[u8] {
        self.keys.first().map_or(&[], Vec::as_slice)
    }

    /// Sends it; `asking`: to the server that is about to take over its keys.
    ///
    /// # Errors
    /// The server refuses, or the connection is gone.
    pub async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        asking: bool,
    ) -> RedisResult<Value> {
        if asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(self.command("EVAL", self.script.code));
            let mut answers = connection.send_packed_commands(&both, 0, 2).await?;
            return answers.pop().unwrap_or(Value::Nil).extract_error();
        }
        let hash = &self.script.hash;
        let answer = connection.send_packed_command(&self.command("EVALSHA", hash)).await;
        match answer.and_then(Value::extract_error) {
            // Its text is kept by the server for the next time.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let command = self.command("EVAL", self.script.code);
                connection.send_packed_command(&command).await?.extract_error()
            }
            answer => answer,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let bytes: usize = self.keys.iter().chain(&self.args).map(Vec::len).sum();
        let mut command =
            Cmd::with_capacity(3 + self.keys.len() + self.args.len(), bytes + script.len() + 16);
        command.arg(name).arg(script).arg(self.keys.len()).arg(&*self.keys).arg(&*self.args);
        command
    }
}
