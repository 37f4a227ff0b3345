//! What somebody may do with a node: the API server decides, per subresource of `nodes`.

use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};

use crate::cache::Cache;
use crate::reviews::Reviews;
use crate::user::User;

/// How long a yes holds: the kubelet's `authorization.webhook.cacheAuthorizedTTL`.
pub const YES: Duration = Duration::from_secs(300);
/// How long a no holds: the kubelet's `authorization.webhook.cacheUnauthorizedTTL`.
pub const NO: Duration = Duration::from_secs(30);
/// How many answers are remembered, and up to which size of question in bytes.
const ANSWERS: usize = 4096;
const QUESTION: usize = 10_000;

/// Finds out what somebody may do.
pub struct Authorization {
    answers: Cache<String, bool>,
}

/// Why somebody may not do something.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The API server said no.
    Forbidden {
        /// Who.
        user: String,
        /// What.
        verb: &'static str,
        /// Any of which would have been enough.
        subresources: &'static [&'static str],
    },
    /// The API server could not be asked.
    Unknown {
        /// Who.
        user: String,
        /// What.
        verb: &'static str,
        /// With what.
        subresource: &'static str,
        /// What came back.
        why: String,
    },
}

impl fmt::Display for Refusal {
    /// The kubelet's words; what came back from the API server is not for the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden {
                user,
                verb,
                subresources,
            } => {
                let any = subresources.join(" ");
                writeln!(
                    f,
                    "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{any}])"
                )
            }
            Self::Unknown {
                user,
                verb,
                subresource,
                ..
            } => write!(
                f,
                "Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})"
            ),
        }
    }
}

impl Default for Authorization {
    fn default() -> Self {
        Self {
            answers: Cache::new(ANSWERS),
        }
    }
}

impl Authorization {
    /// Whether a user may do this with any one of these subresources of a node.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn check(
        &self,
        user: &User,
        node: &str,
        verb: &'static str,
        subresources: &'static [&'static str],
        reviews: &Reviews,
    ) -> Result<(), Refusal> {
        for subresource in subresources {
            let allowed = self.allowed(question(user, node, verb, subresource), reviews).await;
            let allowed = allowed.map_err(|why| Refusal::Unknown {
                user: user.name.clone(),
                verb,
                subresource,
                why,
            })?;
            if allowed {
                return Ok(());
            }
        }
        Err(Refusal::Forbidden {
            user: user.name.clone(),
            verb,
            subresources,
        })
    }

    async fn allowed(&self, question: SubjectAccessReviewSpec, reviews: &Reviews) -> Result<bool, String> {
        let key = serde_json::to_string(&question).map_err(|error| error.to_string())?;
        if let Some(known) = self.answers.get(&key, Instant::now()) {
            return Ok(known);
        }
        let allowed = reviews.access(question).await?;
        if key.len() <= QUESTION {
            let holds = if allowed { YES } else { NO };
            self.answers.put(key, allowed, Instant::now(), holds);
        }
        Ok(allowed)
    }
}

fn question(user: &User, node: &str, verb: &str, subresource: &str) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
        resource_attributes: Some(ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".to_owned()),
            resource: Some("nodes".to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(node.to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_kubelets_words() {
        let user = || "jane".to_owned();
        let forbidden = Refusal::Forbidden {
            user: user(),
            verb: "get",
            subresources: &["pods", "proxy"],
        };
        assert_eq!(
            forbidden.to_string(),
            "Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"
        );
        let unknown = Refusal::Unknown {
            user: user(),
            verb: "create",
            subresource: "proxy",
            why: "secret".to_owned(),
        };
        assert_eq!(
            unknown.to_string(),
            "Authorization error (user=jane, verb=create, resource=nodes, subresource=proxy)"
        );
    }
}
