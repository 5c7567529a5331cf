//! HTTP and gRPC over a Unix socket. An answer has a limit; the time for it is its caller's matter.

use std::path::Path;

use bytes::{BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST, TE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::Error;

/// Bytes of the longest answer that is read.
pub(crate) const LONGEST: usize = 1 << 20;
/// Bytes of an answer's head.
const LONGEST_HEAD: u32 = 64 << 10;

/// Bytes that the other side may send before they are read.
const WINDOW: u32 = 64 << 10;

/// gRPC's status for what is not there.
const NOT_FOUND: u32 = 5;

async fn connect(socket: &Path) -> Result<TokioIo<UnixStream>, Error> {
    UnixStream::connect(socket).await.map(TokioIo::new).map_err(Error::Connect)
}

/// Drives a connection, until it is dropped: whatever the other side does.
struct Driver(tokio::task::AbortHandle);

impl Driver {
    /// What goes wrong with the connection, its request tells.
    fn start(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Driver {
        Driver(tokio::spawn(connection).abort_handle())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What does not fit a request of ours: an id that came from an answer.
fn unsendable(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

async fn body(response: Response<Incoming>) -> Result<http_body_util::Collected<Bytes>, Error> {
    Limited::new(response.into_body(), LONGEST).collect().await.map_err(|_| Error::Body)
}

/// A connection that speaks HTTP/1.
pub(crate) struct Http(
    http1::SendRequest<Empty<Bytes>>,
    #[expect(dead_code, reason = "it is there to be dropped")] Driver,
);

impl Http {
    pub(crate) async fn connect(socket: &Path) -> Result<Http, Error> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LONGEST_HEAD as usize)
            .handshake(connect(socket).await?)
            .await?;
        Ok(Http(sender, Driver::start(connection)))
    }

    /// The JSON at that path; none if there is none.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<Option<T>, Error> {
        let request = Request::get(path).header(HOST, "localhost").body(Empty::new()).map_err(unsendable)?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                body(response).await?;
                return Ok(None);
            }
            status => return Err(Error::Status(status.as_u16())),
        }
        let bytes = body(response).await?.to_bytes();
        serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Malformed(e.to_string()))
    }
}

/// A connection that speaks gRPC.
pub(crate) struct Grpc(
    http2::SendRequest<Full<Bytes>>,
    #[expect(dead_code, reason = "it is there to be dropped")] Driver,
);

impl Grpc {
    pub(crate) async fn connect(socket: &Path) -> Result<Grpc, Error> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(LONGEST_HEAD)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(connect(socket).await?)
            .await?;
        Ok(Grpc(sender, Driver::start(connection)))
    }

    /// What `/SERVICE/METHOD` answers; none if it answers that there is none.
    pub(crate) async fn call<T: Message + Default>(
        &mut self,
        method: &str,
        header: Option<(&str, &str)>,
        question: &impl Message,
    ) -> Result<Option<T>, Error> {
        let message = question.encode_to_vec();
        // Not compressed; length; message.
        let mut frame = Vec::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(&message);
        let mut request = Request::post(format!("http://localhost{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(frame))).map_err(unsendable)?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status(response.status().as_u16()));
        }
        // An answer without a message may have its trailers in its head.
        let early = status(response.headers());
        let collected = body(response).await?;
        match early.or_else(|| collected.trailers().and_then(status)) {
            Some(0) => {}
            Some(NOT_FOUND) => return Ok(None),
            Some(other) => return Err(Error::Grpc(other)),
            None => return Err(Error::Malformed("no gRPC status".into())),
        }
        let bytes = collected.to_bytes();
        let message = match bytes.split_first_chunk::<5>() {
            Some((&[0, a, b, c, d], rest)) => rest.get(..u32::from_be_bytes([a, b, c, d]) as usize),
            _ => None,
        };
        let message = message.ok_or_else(|| Error::Malformed("no whole gRPC message".into()))?;
        T::decode(message).map(Some).map_err(|e| Error::Malformed(e.to_string()))
    }
}

fn status(headers: &hyper::HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
