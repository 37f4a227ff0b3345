//! One request: who asks, whether they may, and only then what they ask for.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use serde_json::Value;
use tracing::{debug, warn};

use crate::answer::{self, Answer};
use crate::authentication::Authentication;
use crate::authorization::{Authorization, Refusal};
use crate::container_logs;
use crate::logs::LogSource;
use crate::reviews::Reviews;
use crate::route::{Route, subresources, verb};
use crate::streaming::{Requests, Seats, Ticket};
use crate::user::{Certified, User};
use crate::{Meters, Pods, Sessions, pod_list, stats};

/// What all requests to one node share.
pub struct Handler {
    authentication: Authentication,
    authorization: Authorization,
    reviews: Reviews,
    pods: Arc<dyn Pods>,
    logs: Arc<dyn LogSource>,
    streams: Requests,
    meters: Arc<dyn Meters>,
    configuration: Value,
}

impl Handler {
    /// For one node.
    pub fn new(
        reviews: Reviews,
        pods: Arc<dyn Pods>,
        logs: Arc<dyn LogSource>,
        sessions: Arc<dyn Sessions>,
        meters: Arc<dyn Meters>,
        configuration: Value,
    ) -> Self {
        let streams = Requests {
            pods: Arc::clone(&pods),
            sessions,
            seats: Seats::default(),
        };
        Self {
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            reviews,
            pods,
            logs,
            streams,
            meters,
            configuration,
        }
    }

    /// Answers a request of a connection whose client certificate names `certified`. With the `ticket` the connection can
    /// be taken over.
    pub async fn answer(&self, certified: Option<&Certified>, request: &Parts, ticket: Ticket) -> Answer {
        match self.admit(certified, request).await {
            Ok(user) => {
                debug!(user = user.name, method = %request.method, path = request.uri.path(), "kubelet API");
                self.serve(request, ticket).await
            }
            Err(refused) => refused,
        }
    }

    async fn admit(&self, certified: Option<&Certified>, request: &Parts) -> Result<User, Answer> {
        let unauthorized = || answer::text(StatusCode::UNAUTHORIZED, "Unauthorized");
        let found = self.authentication.user(certified, &request.headers, &self.reviews);
        let user = found.await.map_err(|why| {
            warn!("a request to the kubelet API could not be authenticated: {why}");
            unauthorized()
        })?;
        let user = user.ok_or_else(unauthorized)?;
        let path = request.uri.path();
        let check = self.authorization.check(
            &user,
            self.reviews.node(),
            verb(&request.method),
            subresources(path),
            &self.reviews,
        );
        let allowed = check.await.map_err(|refusal| {
            let status = match &refusal {
                Refusal::Forbidden { .. } => {
                    debug!(path, "{}", refusal.to_string().trim_end());
                    StatusCode::FORBIDDEN
                }
                Refusal::Unknown { why, .. } => {
                    warn!(path, "{refusal}: {why}");
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            };
            answer::text(status, refusal.to_string())
        });
        allowed.map(|()| user)
    }

    async fn serve(&self, request: &Parts, ticket: Ticket) -> Answer {
        let route = Route::of(request.uri.path());
        let not_found = || answer::text(StatusCode::NOT_FOUND, "404: Page Not Found");
        if route == Route::Unknown {
            return not_found();
        }
        if !route.takes(&request.method) {
            return answer::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        match route {
            Route::ContainerLogs(target) => {
                let query = request.uri.query().unwrap_or_default();
                container_logs::answer(&*self.pods, &*self.logs, target, query).await
            }
            Route::Exec(target) => self.streams.exec(target, request, ticket),
            Route::Attach(target) => self.streams.attach(target, request, ticket),
            Route::PortForward(target) => self.streams.port_forward(target, request, ticket),
            Route::Run(target) => self.streams.run(target, request).await,
            Route::Checkpoint(target) => self.streams.checkpoint(target),
            Route::Pods => answer::json(&pod_list::all(&*self.pods)),
            Route::RunningPods => answer::json(&pod_list::running(&*self.pods)),
            Route::Configz => answer::json(&self.configuration),
            Route::Healthz => answer::text(StatusCode::OK, "ok"),
            Route::Summary => stats::summary(self.reviews.node(), &*self.pods, &*self.meters).await,
            Route::ResourceMetrics => stats::resource(&*self.pods, &*self.meters).await,
            Route::CadvisorMetrics => stats::cadvisor(&*self.pods, &*self.meters).await,
            Route::ProbeMetrics => stats::probes(&*self.pods, &*self.meters).await,
            Route::Metrics => stats::own(&*self.meters),
            Route::Unknown => not_found(),
        }
    }
}
