//! How a request becomes a connection of another protocol, and which.

use std::sync::Arc;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::answer::{self, Answer, Refusal};

/// A client's versions of what is carried by SPDY, in the order in which it likes them, and the one that is chosen.
const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Those that would be accepted.
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const SPDY: &str = "SPDY/3.1";

/// A connection that has been taken over.
pub type Io = TokioIo<Upgraded>;

/// The right to take over the connection of a request.
pub struct Ticket {
    /// The connection, once the answer has been sent.
    pub upgrade: OnUpgrade,
    /// What the server waits for at its end.
    pub tasks: TaskTracker,
    /// Told when the server ends.
    pub cancel: CancellationToken,
    /// The connection's place among all.
    pub place: Arc<OwnedSemaphorePermit>,
}

impl Ticket {
    /// Takes the connection over, as soon as the answer has been sent.
    pub fn spawn<F>(self, session: impl FnOnce(Io, CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let Self {
            upgrade,
            tasks,
            cancel,
            place,
        } = self;
        tasks.spawn(async move {
            let _place = place;
            match cancel.run_until_cancelled(upgrade).await {
                Some(Ok(io)) => session(TokioIo::new(io), cancel.clone()).await,
                Some(Err(error)) => debug!("a connection of the kubelet API could not be taken over: {error}"),
                None => {}
            }
        });
    }
}

/// What will be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SPDY/3.1, carrying this.
    Spdy(&'static str),
    /// WebSocket with this subprotocol; empty if the client named none.
    WebSocket(&'static str),
}

/// What can be spoken.
pub struct Offer {
    /// Over SPDY.
    pub spdy: &'static [&'static str],
    /// As subprotocols of WebSocket.
    pub websocket: &'static [&'static str],
}

/// Whether a request asks for a WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    wants_upgrade(headers) && text(headers, &UPGRADE).eq_ignore_ascii_case("websocket")
}

/// Agrees with the client on a protocol.
///
/// # Errors
/// The answer that refuses.
pub fn negotiate(head: &Parts, offer: &Offer) -> Result<(Protocol, Answer), Refusal> {
    if !wants_upgrade(&head.headers) {
        return Err(answer::refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Upgrade request required\n",
        ));
    }
    if is_websocket(&head.headers) {
        return websocket(head, offer.websocket);
    }
    spdy(head, offer.spdy)
}

fn spdy(head: &Parts, offered: &'static [&'static str]) -> Result<(Protocol, Answer), Refusal> {
    let wanted = list(&head.headers, &VERSION);
    if wanted.is_empty() {
        let words = format!("unable to upgrade: the request names no version in {VERSION}\n");
        return Err(answer::refusal(StatusCode::BAD_REQUEST, words));
    }
    let Some(version) = first(&wanted, offered) else {
        let words = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]\n",
            wanted.join(" "),
            offered.join(" ")
        );
        let mut refusal = answer::refusal(StatusCode::FORBIDDEN, words);
        for version in offered {
            refusal
                .headers_mut()
                .append(ACCEPTED, HeaderValue::from_static(version));
        }
        return Err(refusal);
    };
    if !text(&head.headers, &UPGRADE).to_ascii_uppercase().contains(SPDY) {
        let words = format!("unable to upgrade: only {SPDY} and WebSocket are spoken here\n");
        return Err(answer::refusal(StatusCode::BAD_REQUEST, words));
    }
    let mut switching = answer::switching(SPDY);
    switching
        .headers_mut()
        .insert(VERSION, HeaderValue::from_static(version));
    Ok((Protocol::Spdy(version), switching))
}

fn websocket(head: &Parts, offered: &'static [&'static str]) -> Result<(Protocol, Answer), Refusal> {
    let bad = |words: &str| answer::refusal(StatusCode::BAD_REQUEST, words);
    if head.method != Method::GET {
        return Err(answer::refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "a WebSocket begins with GET\n",
        ));
    }
    if text(&head.headers, &SEC_WEBSOCKET_VERSION) != "13" {
        let mut refusal = bad("missing or bad WebSocket Version");
        refusal
            .headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(refusal);
    }
    let key = text(&head.headers, &SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(bad("mismatch challenge/response"));
    }
    let wanted = list(&head.headers, &SEC_WEBSOCKET_PROTOCOL);
    let protocol = match wanted.is_empty() {
        true => "",
        false => first(&wanted, offered).ok_or_else(|| {
            let words = format!(
                "unable to upgrade: of the protocols [{}] none is spoken here\n",
                wanted.join(" ")
            );
            answer::refusal(StatusCode::FORBIDDEN, words)
        })?,
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| bad("bad challenge"))?;
    let mut switching = answer::switching("websocket");
    switching.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        let headers = switching.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok((Protocol::WebSocket(protocol), switching))
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(CONNECTION).iter();
    all.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.to_ascii_lowercase().contains("upgrade"))
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .trim()
}

/// All values of a header that may be there more than once and have several in one.
pub fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
        .collect()
}

/// The first that the client likes and that is offered.
fn first(wanted: &[String], offered: &'static [&'static str]) -> Option<&'static str> {
    wanted
        .iter()
        .find_map(|wanted| offered.iter().find(|offered| *offered == wanted))
        .copied()
}
