//! Who a request comes from: a verified client certificate, else a bearer token that the API server knows. Nobody else
//! is anybody; there is no anonymous user.

use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::cache::Cache;
use crate::reviews::Reviews;
use crate::user::{Certified, User};

/// How long a token is known to be somebody's: the kubelet's `authentication.webhook.cacheTTL`.
pub const YES: Duration = Duration::from_secs(120);
/// How long it is known to be nobody's. Shorter: a failure of the API server's own may look the same.
const NO: Duration = Duration::from_secs(10);
/// How many tokens are remembered.
const TOKENS: usize = 4096;

/// Finds out who asks.
pub struct Authentication {
    /// By the token's hash: what is remembered of a token cannot be used as one.
    tokens: Cache<[u8; 32], Option<User>>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            tokens: Cache::new(TOKENS),
        }
    }
}

impl Authentication {
    /// Who asks. `Ok(None)`: nobody that we know. `certified`: who the connection's client certificate names.
    ///
    /// # Errors
    /// The API server could not be asked about the token.
    pub async fn user(
        &self,
        certified: Option<&Certified>,
        headers: &HeaderMap,
        reviews: &Reviews,
    ) -> Result<Option<User>, String> {
        let now = Timestamp::now().as_second();
        if let Some(user) = certified.and_then(|certified| certified.user_at(now)) {
            return Ok(Some(user.clone()));
        }
        let Some(token) = bearer(headers) else { return Ok(None) };
        let hash = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.tokens.get(&hash, Instant::now()) {
            return Ok(known);
        }
        let user = reviews.token(token).await?;
        let holds = if user.is_some() { YES } else { NO };
        self.tokens.put(hash, user.clone(), Instant::now(), holds);
        Ok(user)
    }
}

/// The token of an `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let mut words = value.trim().split(' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_token() {
        let found = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(found("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(found("  bEARER abc def ").as_deref(), Some("abc"));
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  abc",
            "Basic abc",
            "abc",
            "Bearer\tabc",
        ] {
            assert_eq!(found(value), None, "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
