//! Heads of HTTP messages, in the shapes of Tracee's `event_data.proto`.

use catalogue::Type;

use super::text::{self, Encoding, display, name, put, string};
use crate::http::canonical;
use crate::{Http, HttpHead, HttpLine};

pub(super) fn head(out: &mut Vec<u8>, head: &HttpHead<'_>) {
    name(
        out,
        match head.ty() {
            Type::HttpRequest => "http_request",
            Type::HttpResponse => "http_response",
            _ => "http",
        },
    );
    // It was well-formed when it was decoded.
    let Some(http) = head.parse() else { return out.extend_from_slice(b"{}") };
    out.push(b'{');
    let request = matches!(http.line, HttpLine::Request { .. });
    if head.ty() == Type::Http {
        out.extend_from_slice(b"\"direction\":");
        string(out, if request { "request" } else { "response" });
        out.push(b',');
    }
    match http.line {
        HttpLine::Request { method, target } => {
            name(out, "method");
            string(out, method);
            put(out, ",\"protocol\":\"HTTP/1.", http.version);
            out.extend_from_slice(b"\",\"host\":");
            let host = http.header("host").unwrap_or_default();
            text::bytes(out, host, Encoding::of(host));
            out.extend_from_slice(b",\"uri_path\":");
            string(out, target);
        }
        HttpLine::Response { code, reason } => {
            put(out, "\"status\":\"", code);
            out.extend_from_slice(b" ");
            // The crate lets through what is printable only.
            text::bytes_inside(out, reason.as_bytes(), Encoding::Utf8);
            put(out, "\",\"status_code\":", code);
            put(out, ",\"protocol\":\"HTTP/1.", http.version);
            out.push(b'"');
        }
    }
    headers(out, &http);
    out.extend_from_slice(b",\"content_length\":");
    match http.content_length() {
        Some(length) => put(out, "", length),
        // A request without one has no body; how much follows a response, it does not say then.
        None => put(out, "", if request { 0 } else { -1 }),
    }
    out.push(b'}');
}

/// By name, each with its values in order.
fn headers(out: &mut Vec<u8>, http: &Http<'_>) {
    out.extend_from_slice(b",\"headers\":{");
    let mut any = false;
    for (n, (name, _)) in http.headers().enumerate() {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        if http.headers().take(n).any(|(earlier, _)| same(earlier)) {
            continue;
        }
        if any {
            out.push(b',');
        }
        any = true;
        display(out, canonical(name));
        out.extend_from_slice(b":{\"header\":[");
        for (k, (_, value)) in http.headers().filter(|(other, _)| same(other)).enumerate() {
            if k > 0 {
                out.push(b',');
            }
            text::bytes(out, value, Encoding::of(value));
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b'}');
}
