//! What the store carries out in one piece, in its own language: Lua.
//!
//! A script is called by its digest, and sent whole only where the store does not know it: after its start, or on
//! a node of a cluster that has not seen it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::{Cmd, RedisResult, Value};

use super::link::{self, Connection};

/// The word with which a server says that it does not know a script.
const UNKNOWN: &str = "NOSCRIPT";

#[derive(Debug)]
pub struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    pub fn new(text: &'static str) -> Self {
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let digest = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        Self { text, digest }
    }

    #[cfg(test)]
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) async fn run(
        &self,
        connection: Connection,
        key: &str,
        arguments: &[String],
    ) -> RedisResult<Value> {
        let called = connection.clone().ask(&command("EVALSHA", &self.digest, key, arguments)).await;
        match called {
            Err(error) if link::code(&error) == Some(UNKNOWN) => {
                connection.ask(&command("EVAL", self.text, key, arguments)).await
            }
            called => called,
        }
    }
}

fn command(name: &str, script: &str, key: &str, arguments: &[String]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}
