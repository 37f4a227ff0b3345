//! One connection to a port.

use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::Request;
use crate::streaming::pipe::{Inlet, Outlet};

/// How long a client may go on sending after the port has said that it will say no more.
const HALF_OPEN: Duration = Duration::from_secs(10);

/// Connects and carries both directions until both have ended.
///
/// # Errors
/// The kubelet's words: there is no connection, or it broke.
pub async fn forward(request: &Request, port: u16, inlet: Inlet, outlet: &Outlet) -> Result<(), String> {
    let place = &request.place;
    let failed = |error: &dyn std::fmt::Display| {
        let words = format!(
            "error forwarding port {port} to pod {}, uid {}: {error}",
            place.pod, place.uid
        );
        debug!("{words}");
        words
    };
    let connected = request.sessions.connect(place, port).await;
    let (mut reading, mut writing) = tokio::io::split(connected.map_err(|error| failed(&error))?);
    let up = async {
        // A port that wants no more may still have something to say.
        let _ = inlet.copy(&mut writing).await;
    };
    let down = async {
        outlet.copy(&mut reading).await?;
        let _ = outlet.fin().await;
        std::io::Result::Ok(())
    };
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        done = down.as_mut() => {
            done.map_err(|error| failed(&error))?;
            tokio::select! {
                () = up => {}
                () = sleep(HALF_OPEN) => {}
            }
        }
        () = up.as_mut() => down.await.map_err(|error| failed(&error))?,
    }
    Ok(())
}
