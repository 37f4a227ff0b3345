//! One request: who asks, whether they may, and only then what they ask for.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};
use tracing::{debug, warn};

use crate::answer::{self, Answer};
use crate::authentication::Authentication;
use crate::authorization::{Authorization, Refusal};
use crate::container_logs;
use crate::logs::LogSource;
use crate::reviews::Reviews;
use crate::route::{Route, subresources, verb};
use crate::user::{Certified, User};
use crate::{Pods, pod_list};

/// What all requests to one node share.
pub struct Handler {
    authentication: Authentication,
    authorization: Authorization,
    reviews: Reviews,
    pods: Arc<dyn Pods>,
    logs: Arc<dyn LogSource>,
}

impl Handler {
    /// For one node.
    pub fn new(reviews: Reviews, pods: Arc<dyn Pods>, logs: Arc<dyn LogSource>) -> Self {
        Self {
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            reviews,
            pods,
            logs,
        }
    }

    /// Answers a request of a connection whose client certificate names `certified`.
    pub async fn answer(&self, certified: Option<&Certified>, request: &Parts) -> Answer {
        match self.admit(certified, request).await {
            Ok(user) => {
                debug!(user = user.name, method = %request.method, path = request.uri.path(), "kubelet API");
                self.serve(request).await
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

    async fn serve(&self, request: &Parts) -> Answer {
        let route = Route::of(request.uri.path());
        if route == Route::Unknown {
            return answer::text(StatusCode::NOT_FOUND, "404: Page Not Found");
        }
        if request.method != Method::GET {
            return answer::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        match route {
            Route::ContainerLogs {
                namespace,
                pod,
                container,
            } => {
                let query = request.uri.query().unwrap_or_default();
                let names = (namespace, pod, container);
                container_logs::answer(&*self.pods, &*self.logs, names, query).await
            }
            Route::Pods => answer::json(&pod_list::all(&*self.pods)),
            Route::RunningPods => answer::json(&pod_list::running(&*self.pods)),
            Route::Healthz => answer::text(StatusCode::OK, "ok"),
            Route::Unknown => answer::text(StatusCode::NOT_FOUND, "404: Page Not Found"),
        }
    }
}
