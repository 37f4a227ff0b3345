//! Answers to requests.

use std::error::Error;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;

/// Why a body ended early.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// An answer, whole or as a stream.
pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;
/// An answer that says no.
pub type Refusal = Box<Answer>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Words.
pub fn text(status: StatusCode, words: impl Into<String>) -> Answer {
    whole(status, TEXT, words.into().into())
}

/// Words that say no.
pub fn refusal(status: StatusCode, words: impl Into<String>) -> Refusal {
    Box::new(text(status, words))
}

/// Bytes, called what the kubelet calls them.
pub fn bytes(bytes: Vec<u8>) -> Answer {
    whole(StatusCode::OK, JSON, bytes.into())
}

/// An object.
pub fn json(object: &impl Serialize) -> Answer {
    match serde_json::to_vec(object) {
        Ok(bytes) => whole(StatusCode::OK, JSON, bytes.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Text as it comes; an error in it cuts the answer where the client can see it.
pub fn stream(stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Answer {
    let body = StreamBody::new(stream.map(|piece| piece.map(Frame::data)));
    with_body(StatusCode::OK, TEXT, body.boxed_unsync())
}

/// From here on another protocol is spoken.
pub fn switching(protocol: &'static str) -> Answer {
    let body = Empty::new().map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    answer
}

/// Bytes of whatever kind.
pub fn whole(status: StatusCode, kind: HeaderValue, bytes: Bytes) -> Answer {
    let body = Full::new(bytes).map_err(|never| match never {});
    with_body(status, kind, body.boxed_unsync())
}

fn with_body(status: StatusCode, kind: HeaderValue, body: UnsyncBoxBody<Bytes, BoxError>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
