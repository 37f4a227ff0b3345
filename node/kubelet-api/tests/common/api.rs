//! An API server that knows tokens and who may do what.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

#[derive(Default)]
struct State {
    tokens: BTreeMap<String, Value>,
    allowed: BTreeSet<[String; 3]>,
    down: bool,
    reviews: Vec<Value>,
}

/// The API server.
pub struct Api {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _task: AbortOnDropHandle<()>,
}

impl Api {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// A token is this user's.
    pub fn token(&self, token: &str, user: Value) {
        self.state.lock().unwrap().tokens.insert(token.to_owned(), user);
    }

    /// A user may do this with a subresource of the node.
    pub fn allow(&self, user: &str, verb: &str, subresource: &str) {
        let what = [user, verb, subresource].map(str::to_owned);
        self.state.lock().unwrap().allowed.insert(what);
    }

    pub fn forbid_everything(&self) {
        self.state.lock().unwrap().allowed.clear();
    }

    /// It answers every question with an error of its own.
    pub fn down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    /// The reviews that were asked for since the last call: their kinds and specs.
    pub fn reviews(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.lock().unwrap().reviews)
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let (status, answer) = review(&mut state.lock().unwrap(), &path, &body);
    let mut response = Response::new(Full::new(answer.to_string().into()));
    *response.status_mut() = status;
    Ok(response)
}

fn review(state: &mut State, path: &str, body: &[u8]) -> (StatusCode, Value) {
    let failure = |code: u16, reason: &str| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason});
        (StatusCode::from_u16(code).unwrap(), status)
    };
    let kind = match path {
        "/apis/authentication.k8s.io/v1/tokenreviews" => "TokenReview",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews" => "SubjectAccessReview",
        _ => return failure(404, "NotFound"),
    };
    if state.down {
        return failure(500, "InternalError");
    }
    let mut review: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(review["kind"], kind);
    let spec = review["spec"].clone();
    state.reviews.push(json!({"kind": kind, "spec": spec}));
    review["status"] = if kind == "TokenReview" {
        match state.tokens.get(spec["token"].as_str().unwrap()) {
            Some(user) => json!({"authenticated": true, "user": user}),
            None => json!({"authenticated": false, "error": "invalid bearer token"}),
        }
    } else {
        let attributes = &spec["resourceAttributes"];
        assert_eq!(
            (&attributes["resource"], &attributes["name"]),
            (&json!("nodes"), &json!(super::NODE))
        );
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let what = [
            text(&spec["user"]),
            text(&attributes["verb"]),
            text(&attributes["subresource"]),
        ];
        json!({"allowed": state.allowed.contains(&what)})
    };
    (StatusCode::CREATED, review)
}
