//! `towline run --detach`: hand over and leave.

use std::time::Duration;

use anyhow::bail;
use towline_cluster::Cluster;
use towline_core::answer::Submission;

use super::progress::Progress;
use super::{Work, bundle_of, code};
use crate::cli::output;

/// Submits everything that there is.
///
/// # Errors
/// Nothing was submitted, or nobody knows whether it was.
pub async fn run(cluster: &Cluster, mut work: Work, progress: &Progress) -> anyhow::Result<u8> {
    let mut bundles = Vec::new();
    for controller in &mut work.controllers {
        if controller.is_job() {
            progress.line(&format!(
                "{}: without anybody who watches, failed pods are not replaced",
                controller.name
            ));
        }
        for pod in controller.next(Duration::ZERO) {
            bundles.push(bundle_of(&pod, &work.manifest, &work.site)?);
        }
    }
    progress.moving("submitting");
    let uids: Vec<&str> = bundles.iter().map(|bundle| bundle.uid.as_str()).collect();
    let submitted = match cluster.submit(&bundles).await {
        Ok(submitted) => submitted,
        Err(error) if error.outcome_unknown() => bail!(
            "nobody knows whether the pods were submitted; do not run the file again before `towline ps` has shown that they are not there (UIDs {}): {error}",
            uids.join(", ")
        ),
        Err(error) => return Err(error.into()),
    };
    progress.end();
    let mut result = 0;
    for bundle in &bundles {
        match submitted.get(&bundle.uid) {
            Some(Submission::Submitted { job }) => {
                output::print(&format!("{}\n", bundle.uid))?;
                progress.line(&format!("{}: job {job}", bundle.name));
            }
            Some(Submission::Exists { .. }) => output::print(&format!("{}\n", bundle.uid))?,
            Some(Submission::Refused { reason, text, .. }) => {
                progress.warning(&format!("{}: refused: {reason}: {text}", bundle.name));
                result = code::NOT_STARTED;
            }
            Some(Submission::Unknown { text }) => {
                output::print(&format!("{}\n", bundle.uid))?;
                progress.warning(&format!(
                    "{}: nobody knows whether the batch system took the job; `towline ps` will show it if so: {text}",
                    bundle.name
                ));
                result = code::LOST;
            }
            None => {
                progress.warning(&format!("{}: the answer does not say what became of it", bundle.name));
                result = code::LOST;
            }
        }
    }
    progress.line("look after them with `towline ps`, `towline logs -f UID`, `towline cancel UID`; remove what is left with `towline gc`");
    Ok(result)
}
