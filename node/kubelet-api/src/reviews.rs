//! What only the API server can say: who a token is, and who may do what.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use towline_apiserver::Session;

use crate::user::User;

/// How long the API server has for an answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Questions under way at once: strangers can cause them.
const PARALLEL: usize = 16;

/// Asks the API server, in the node's name.
pub struct Reviews {
    session: Session,
    places: Semaphore,
}

impl Reviews {
    /// Over a node's connection.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            places: Semaphore::new(PARALLEL),
        }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        self.session.node()
    }

    /// Whose a token is, for the API server's own audience; `None`: nobody's.
    ///
    /// # Errors
    /// Words if there was no answer.
    pub async fn token(&self, token: &str) -> Result<Option<User>, String> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let status = self.ask("review a token", review).await?.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        Ok(user.and_then(User::of_review))
    }

    /// Whether somebody may do something.
    ///
    /// # Errors
    /// Words if there was no answer.
    pub async fn access(&self, question: SubjectAccessReviewSpec) -> Result<bool, String> {
        let review = SubjectAccessReview {
            spec: question,
            ..SubjectAccessReview::default()
        };
        let status = self.ask("review an access", review).await?.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }

    async fn ask<K>(&self, what: &str, review: K) -> Result<K, String>
    where
        K: Resource<Scope = k8s_openapi::ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let asked = async {
            // The semaphore is never closed.
            let _place = self.places.acquire().await.ok();
            let api: Api<K> = Api::all(self.session.client());
            api.create(&PostParams::default(), &review).await
        };
        let server = self.session.server();
        match tokio::time::timeout(LIMIT, asked).await {
            Ok(answer) => answer.map_err(|error| format!("failed to {what} with {server}: {error}")),
            Err(_) => Err(format!(
                "failed to {what} with {server}: no answer within {} s",
                LIMIT.as_secs()
            )),
        }
    }
}
