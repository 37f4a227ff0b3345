//! Prepared images on the cluster: told of in the Nodes' status, and removed when nobody needs them.

use std::time::Duration;

use k8s_openapi::api::core::v1::ContainerImage;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towline_cluster::Cluster;
use towline_core::images::{ImageFate, ImageLimits, of_node};

/// Between two looks, as a kubelet's image garbage collection.
const PAUSE: Duration = Duration::from_secs(300);

/// Looks now and then, until it is told to end.
pub async fn keep(
    cluster: Cluster,
    runtime: String,
    limits: ImageLimits,
    shown: watch::Sender<Option<Vec<ContainerImage>>>,
    stop: CancellationToken,
) {
    loop {
        let Some(result) = stop.run_until_cancelled(cluster.images(&runtime, limits, false)).await else {
            return;
        };
        match result {
            Ok(images) => {
                for image in images.iter().filter(|image| image.fate == ImageFate::Removed) {
                    tracing::info!(
                        image = image.name(),
                        bytes = image.size,
                        idle_s = image.idle_s,
                        "an image that nobody needs was removed"
                    );
                }
                shown.send_if_modified(|before| {
                    let now = Some(of_node(&images));
                    let changed = *before != now;
                    *before = now;
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "failed to look after the prepared images"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}
