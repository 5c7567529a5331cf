//! The expression language of conditions: CEL's syntax over typed fields.
//!
//! ```text
//! data.pathname.startsWith("/etc/") && uid != 0 || data.flags.contains("O_CREAT")
//! ```
//!
//! An expression is parsed ([`parse()`]), checked against the fields that there are ([`Schema`]) and compiled by
//! [`compile`] into a [`Condition`], which is asked of one [`Subject`] after another. What can be wrong is found when it
//! is compiled, and said with its place: an unknown field, a number compared with a text, a pattern that is none.
//!
//! # What is not known
//!
//! A field that was not read, or only its beginning, has no value to compare. So a condition is [`Truth::True`],
//! [`Truth::False`], or [`Truth::Unknown`], by Kleene's logic: `false && unknown` is false, `true || unknown` true. Of a
//! text that was cut, what is there decides where it can.
//!
//! # The language
//!
//! That of the [CEL specification](https://github.com/google/cel-spec), without its messages and time types, and with one
//! kind of integer, of 128 bits. Texts are bytes, as paths are. Beyond CEL:
//!
//! - `glob`: `*` and `?` match within a component of a path, `**` any;
//! - `cidr("10.0.0.0/8")`: `data.ip in cidr("10.0.0.0/8", "::1/128")`;
//! - `known(condition)`: where it is not known, that counts as if it did not hold, so that what is excepted is excepted for sure;
//! - `process(data.pid).comm`, `user(0)`: what a store of the schema's has under a key ([`Schema::store`]);
//! - names behind numbers: `data.type == "SOCK_STREAM"`, `data.flags.contains("O_CREAT")`;
//! - `entropy`: of a text's bytes, in bits for each: `name.entropy() > 3.0`;
//! - `basename`, `dirname`, `lower`, `upper`, `trim`, `replace`, `split`, `join`, as Tracee's detectors have them.

mod ast;
mod bounds;
mod check;
mod error;
mod eval;
mod index;
mod lex;
mod net;
mod parse;
mod suggest;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use ast::{Binary, Expr, Kind, Literal, Span, Unary};
pub use bounds::{Bounds, Is, Place};
pub use check::{Field, Schema, Stored, compile, compile_value};
pub use error::Error;
pub use eval::{Condition, Subject, Term, Truth};
pub use index::Index;
pub use net::Net;
pub use parse::parse;
pub use suggest::nearest;
pub use value::{List, Names, Text, Type, Value};
