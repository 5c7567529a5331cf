//! Heads of HTTP/1 messages: the first line and the headers (RFC 9112).

use std::fmt;

use catalogue::Type;

/// A head with more headers than that is none.
pub const HTTP_HEADERS: usize = 128;

/// A head in a record: its bytes, up to the empty line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpHead<'a> {
    ty: Type,
    bytes: &'a [u8],
}

/// A head taken apart.
#[derive(Debug, Clone)]
pub struct Http<'a> {
    /// The first line.
    pub line: HttpLine<'a>,
    /// The minor version: 0 or 1.
    pub version: u8,
    headers: [httparse::Header<'a>; HTTP_HEADERS],
    count: usize,
}

/// The first line of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpLine<'a> {
    /// A request.
    Request {
        /// What is to be done.
        method: &'a str,
        /// With what: mostly a path.
        target: &'a str,
    },
    /// A response.
    Response {
        /// What came of it: 200 is well.
        code: u16,
        /// The same in words, which may be any.
        reason: &'a str,
    },
}

impl<'a> HttpHead<'a> {
    /// A head of that type; `None` if the type is none of a head.
    pub const fn new(ty: Type, bytes: &'a [u8]) -> Option<HttpHead<'a>> {
        match ty {
            Type::Http | Type::HttpRequest | Type::HttpResponse => Some(HttpHead { ty, bytes }),
            _ => None,
        }
    }

    /// Its type: what of it is shown.
    pub const fn ty(&self) -> Type {
        self.ty
    }

    /// Its bytes.
    pub const fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// The head taken apart; `None` if it is none. Of one that was decoded, it is.
    pub fn parse(&self) -> Option<Http<'a>> {
        let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS];
        let (line, version, count) = if self.bytes.starts_with(b"HTTP/") {
            let mut response = httparse::Response::new(&mut headers);
            response.parse(self.bytes).ok().filter(httparse::Status::is_complete)?;
            let line = HttpLine::Response { code: response.code?, reason: response.reason? };
            (line, response.version?, response.headers.len())
        } else {
            let mut request = httparse::Request::new(&mut headers);
            request.parse(self.bytes).ok().filter(httparse::Status::is_complete)?;
            let line = HttpLine::Request { method: request.method?, target: request.path? };
            (line, request.version?, request.headers.len())
        };
        Some(Http { line, version, headers, count })
    }
}

impl<'a> Http<'a> {
    /// The headers, in order: name as it was sent, and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.headers.iter().take(self.count).map(|h| (h.name, h.value))
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How many bytes follow, where the head says so.
    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.header("content-length")?).ok()?.trim().parse().ok()
    }
}

/// The name with a capital letter where a word begins, as Go and so Tracee write it.
pub(crate) fn canonical(name: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let mut begins = true;
        for c in name.chars() {
            let c = if begins { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            write!(f, "{c}")?;
            begins = c == '-';
        }
        Ok(())
    })
}

/// The first line.
impl fmt::Display for HttpHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(http) = self.parse() else { return Ok(()) };
        match http.line {
            HttpLine::Request { method, target } => {
                let host = String::from_utf8_lossy(http.header("host").unwrap_or_default());
                write!(f, "{method} {host}{}", target.escape_debug())
            }
            HttpLine::Response { code, reason } => write!(f, "{code} {reason}"),
        }
    }
}
