//! Requests for streams: checked in the order and answered with the words of the kubelet, then handed to who serves them.

use std::sync::Arc;

use http::header::{RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use k8s_openapi::api::core::v1::Pod;

use super::backend::{Place, Sessions, Streams};
use super::command::{self, What, run_to_end};
use super::ports;
use super::seats::{Seat, Seats};
use super::upgrade::{Ticket, is_websocket, list, negotiate};
use crate::Pods;
use crate::answer::{self, Answer, Refusal};
use crate::route::Target;
use crate::run::{has_container, runs};

/// Ports that a request names at most: a channel's number has one byte.
const MOST_PORTS: usize = 64;

/// What requests for streams share.
pub struct Requests {
    /// The pods of the node.
    pub pods: Arc<dyn Pods>,
    /// Where their containers run.
    pub sessions: Arc<dyn Sessions>,
    /// Places for sessions.
    pub seats: Seats,
}

impl Requests {
    /// `/exec/…`
    pub fn exec(&self, target: Target<'_>, head: &Parts, ticket: Ticket) -> Answer {
        let what = What::Exec(values(head, "command"));
        self.command(target, what, head, ticket)
            .unwrap_or_else(|refusal| *refusal)
    }

    /// `/attach/…`
    pub fn attach(&self, target: Target<'_>, head: &Parts, ticket: Ticket) -> Answer {
        self.command(target, What::Attach, head, ticket)
            .unwrap_or_else(|refusal| *refusal)
    }

    fn command(&self, target: Target<'_>, what: What, head: &Parts, ticket: Ticket) -> Result<Answer, Refusal> {
        let mut streams = streams(head)?;
        let pod = self.find(target)?;
        let missing = match what {
            What::Exec(_) => format!("container not found ({:?})", target.container),
            What::Attach => format!(
                "container {} not found in pod {}_{}",
                target.container, target.pod, target.namespace
            ),
        };
        if !is_meant(&pod, target) || !runs(&pod, target.container) {
            return Err(answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, missing));
        }
        if let What::Attach = what {
            // Whether its process has a terminal was settled when it started.
            streams.tty = has_terminal(&pod, target.container);
            streams.stderr &= !streams.tty;
        }
        let seat = self.seat(&pod)?;
        let (protocol, switching) = negotiate(head, &command::OFFER)?;
        let request = command::Request {
            sessions: Arc::clone(&self.sessions),
            place: place(&pod, target),
            what,
            streams,
        };
        ticket.spawn(move |io, cancel| async move {
            let _seat = seat;
            command::serve(request, protocol, io, cancel).await;
        });
        Ok(switching)
    }

    /// `/portForward/…`
    pub fn port_forward(&self, target: Target<'_>, head: &Parts, ticket: Ticket) -> Answer {
        self.ports(target, head, ticket).unwrap_or_else(|refusal| *refusal)
    }

    fn ports(&self, target: Target<'_>, head: &Parts, ticket: Ticket) -> Result<Answer, Refusal> {
        let subprotocols = list(&head.headers, &SEC_WEBSOCKET_PROTOCOL);
        let ports = match is_websocket(&head.headers) && !ports::opens_ports_later(&subprotocols) {
            true => named_ports(head)?,
            false => Vec::new(),
        };
        let pod = self.find(target)?;
        if !is_meant(&pod, target) {
            return Err(answer::refusal(StatusCode::NOT_FOUND, "pod not found"));
        }
        if !crate::pod_list::runs(&pod) {
            let words = format!("pod not found (\"{}_{}\")", target.pod, target.namespace);
            return Err(answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, words));
        }
        let seat = self.seat(&pod)?;
        let (protocol, switching) = negotiate(head, &ports::OFFER)?;
        let request = ports::Request {
            sessions: Arc::clone(&self.sessions),
            place: place(&pod, target),
            ports,
        };
        ticket.spawn(move |io, cancel| async move {
            let _seat = seat;
            ports::serve(request, protocol, io, cancel).await;
        });
        Ok(switching)
    }

    /// `/run/…`: a command without input, whose output is the answer.
    pub async fn run(&self, target: Target<'_>, head: &Parts) -> Answer {
        let pod = match self.find(target) {
            Ok(pod) => pod,
            Err(refusal) => return *refusal,
        };
        let failed = |words: String| answer::text(StatusCode::INTERNAL_SERVER_ERROR, words);
        if !is_meant(&pod, target) || !runs(&pod, target.container) {
            return failed(format!("container not found ({:?})", target.container));
        }
        let _seat = match self.seat(&pod) {
            Ok(seat) => seat,
            Err(refusal) => return *refusal,
        };
        let command = values(head, "cmd").into_iter().next().unwrap_or_default();
        let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
        match run_to_end(&*self.sessions, &place(&pod, target), &command).await {
            Ok(output) => answer::bytes(output),
            Err(words) => failed(words),
        }
    }

    /// `/checkpoint/…`: refused, as by a kubelet whose container runtime cannot do it.
    pub fn checkpoint(&self, target: Target<'_>) -> Answer {
        let Target {
            namespace,
            pod: name,
            container,
            ..
        } = target;
        let pod = match self.find(target) {
            Ok(pod) => pod,
            Err(refusal) => return *refusal,
        };
        if !has_container(&pod, container) {
            return answer::text(StatusCode::NOT_FOUND, format!("container {container} does not exist"));
        }
        let words = format!(
            "checkpointing of {namespace}/{name}/{container} failed (containers in a batch job cannot be checkpointed)"
        );
        answer::text(StatusCode::INTERNAL_SERVER_ERROR, words)
    }

    fn find(&self, target: Target<'_>) -> Result<Arc<Pod>, Refusal> {
        let found = self.pods.find(target.namespace, target.pod);
        found.ok_or_else(|| answer::refusal(StatusCode::NOT_FOUND, "pod does not exist"))
    }

    fn seat(&self, pod: &Pod) -> Result<Seat, Refusal> {
        let seat = self.seats.take(pod.metadata.uid.as_deref().unwrap_or_default());
        seat.ok_or_else(|| {
            let words = "maximum number of in-flight requests exceeded";
            let mut refusal = answer::refusal(StatusCode::TOO_MANY_REQUESTS, words);
            refusal
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("60"));
            refusal
        })
    }
}

fn is_meant(pod: &Pod, target: Target<'_>) -> bool {
    target.uid.is_none_or(|uid| pod.metadata.uid.as_deref() == Some(uid))
}

fn place(pod: &Pod, target: Target<'_>) -> Place {
    Place {
        namespace: target.namespace.to_owned(),
        pod: target.pod.to_owned(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        container: target.container.to_owned(),
    }
}

fn has_terminal(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut all = (containers.map(|container| (&container.name, container.tty)))
        .chain((spec.ephemeral_containers.iter().flatten()).map(|container| (&container.name, container.tty)));
    all.any(|(found, tty)| found == name && tty == Some(true))
}

fn values(head: &Parts, name: &str) -> Vec<String> {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
        .collect()
}

fn streams(head: &Parts) -> Result<Streams, Refusal> {
    let is_set = |name| values(head, name).first().is_some_and(|value| value == "1");
    let tty = is_set("tty");
    let streams = Streams {
        stdin: is_set("input"),
        stdout: is_set("output"),
        stderr: is_set("error") && !tty,
        tty,
    };
    if !(streams.stdin || streams.stdout || streams.stderr) {
        let words = "you must specify at least 1 of stdin, stdout, stderr";
        return Err(answer::refusal(StatusCode::BAD_REQUEST, words));
    }
    Ok(streams)
}

fn named_ports(head: &Parts) -> Result<Vec<u16>, Refusal> {
    let bad = |words: String| answer::refusal(StatusCode::BAD_REQUEST, words);
    let values = values(head, "port");
    if values.is_empty() {
        return Err(bad("query parameter \"port\" is required".to_owned()));
    }
    let mut ports = Vec::new();
    for value in &values {
        if value.is_empty() {
            return Err(bad("query parameter \"port\" cannot be empty".to_owned()));
        }
        for port in value.split(',') {
            match port.parse() {
                Ok(0) => return Err(bad(format!("port {value:?} must be > 0"))),
                Ok(port) => ports.push(port),
                Err(error) => return Err(bad(format!("unable to parse {value:?} as a port: {error}"))),
            }
        }
    }
    if ports.len() > MOST_PORTS {
        return Err(bad(format!("{} ports; {MOST_PORTS} are the most", ports.len())));
    }
    Ok(ports)
}
