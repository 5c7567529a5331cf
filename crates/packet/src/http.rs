//! Heads of HTTP/1 messages in the bytes of a connection.

use catalogue::Type;
use event::{HTTP_HEADERS, HttpHead};

use crate::streams::{Guess, Step};

/// Whether what begins so may be a head of HTTP: what the kernel's programs look for.
const BEGINNINGS: [&[u8]; 10] =
    [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"HTTP"];

/// What these bytes begin.
pub(crate) fn guess(bytes: &[u8]) -> Guess {
    if BEGINNINGS.iter().any(|b| bytes.starts_with(b)) {
        Guess::Is
    } else if !bytes.is_empty() && BEGINNINGS.iter().any(|b| b.starts_with(bytes)) {
        Guess::May
    } else {
        Guess::No
    }
}

/// A request line ends with what a response begins with, but for what follows there.
pub(crate) fn ends_request_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP") && bytes.get(8) != Some(&b' ')
}

/// The head with which these bytes begin.
pub(crate) fn step(bytes: &[u8]) -> Step {
    let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS];
    let status = if bytes.starts_with(b"HTTP") {
        httparse::Response::new(&mut headers).parse(bytes)
    } else {
        httparse::Request::new(&mut headers).parse(bytes)
    };
    match status {
        Ok(httparse::Status::Complete(length)) => {
            Step::Message { message: bytes.get(..length).unwrap_or_default().to_vec(), length }
        }
        Ok(httparse::Status::Partial) => Step::More,
        Err(_) => Step::Nothing,
    }
}

/// The lines of a head that are whole, as a head of their own; none if that is none.
pub(crate) fn whole_lines(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(2).rposition(|w| w == b"\r\n")? + 2;
    let head = [bytes.get(..end)?, b"\r\n"].concat();
    HttpHead::new(Type::Http, &head)?.parse().is_some().then_some(head)
}
