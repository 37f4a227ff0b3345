//! Prepared images.

use std::time::Duration;

use towline_core::images::{ImageLimits, PreparedImage, images};

use crate::call::Way;
use crate::cluster::Cluster;
use crate::error::Error;

/// Trees of many small files take their time.
const PATIENCE: Duration = Duration::from_secs(900);

impl Cluster {
    /// The images that are prepared for a container runtime, after those were removed that nobody needs any more and that
    /// are over the limits. `dry`: only says what would be removed.
    ///
    /// # Errors
    /// See [`Error`]; doing it again is always safe.
    pub async fn images(&self, runtime: &str, limits: ImageLimits, dry: bool) -> Result<Vec<PreparedImage>, Error> {
        let number = |limit: Option<u64>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        let command = self
            .command(&format!("container/{runtime}"))
            .args(["images", self.root()])
            .args([limits.max_age_s, limits.max_mb, limits.reduced_mb].map(number))
            .arg(u8::from(dry).to_string());
        self.call("images", Way::Run, command.timeout(PATIENCE), images).await
    }
}
