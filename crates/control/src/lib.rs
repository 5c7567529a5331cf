//! Questions to a running watch, and its answers, over a socket.
//!
//! A line of JSON is a question ([`Request`]); lines of JSON are the answer: as many rows as there are, then `done`, or `error`
//! ([`Reply`]). After that, the next question may come on the same connection. A question that this watch does not know is an error, so a
//! newer client and an older watch understand each other so far.
//!
//! The watch never waits for a client. Connections are served by threads ([`Server`]) that hand each question over, and write what the
//! watch put together between two of its rounds. Their number, what they send, and the time that they take are limited.

mod client;
mod connect;
mod error;
mod server;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use client::Client;
pub use error::Error;
pub use server::{Answer, Server};

/// Where the socket is unless told otherwise.
pub const DEFAULT_PATH: &str = "/run/tarsius.sock";
/// Bytes of the longest question.
pub const LONGEST: u64 = 64 << 10;

/// A question, or something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is known of some kind of things.
    Query {
        /// Of which.
        what: What,
        /// `KEY=VALUE` and `KEY!=VALUE`, which must all hold; `*` stands for anything.
        #[serde(default)]
        filters: Vec<String>,
    },
    /// The processes that lived at a moment, each after the one that made it.
    Tree {
        /// Nanoseconds since the epoch.
        at: u64,
    },
    /// Read the policies again, and put them into force, all or none.
    Reload,
    /// Switch a policy's mode.
    Mode {
        /// Its name.
        policy: String,
        /// `monitor` or `enforce`.
        mode: String,
    },
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The processes, those too that have ended and are still remembered.
    Process,
    /// The containers that are there.
    Container,
    /// What addresses were resolved from.
    Dns,
    /// The host's users.
    User,
    /// The detectors in force, and what they did and cost.
    Detector,
}

/// One thing of which is told.
pub type Row = Map<String, Value>;

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// One thing.
    Row(Row),
    /// That was all.
    Done {
        /// How many rows came.
        rows: u64,
        /// What is to be known about them.
        #[serde(default)]
        notes: Vec<String>,
    },
    /// Why there is no answer.
    Error(String),
}
