//! What a whole pod needs of something, of what each of its containers needs.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::life;

/// The most that is needed at once: the main containers run side by side, a sidecar beside all that comes after it, and an
/// init container alone with the sidecars before it.
///
/// Source: `k8s.io/component-helpers/resource/helpers.go` (`PodRequests`).
///
/// # Errors
/// Those of `of`.
pub fn at_once<E>(spec: &PodSpec, mut of: impl FnMut(&Container) -> Result<u64, E>) -> Result<u64, E> {
    let mut main: u64 = 0;
    for container in &spec.containers {
        main = main.saturating_add(of(container)?);
    }
    let (mut beside, mut most) = (0_u64, 0_u64);
    for container in spec.init_containers.iter().flatten() {
        let value = of(container)?;
        most = most.max(beside.saturating_add(value));
        if life::is_sidecar(true, container) {
            beside = beside.saturating_add(value);
        }
    }
    Ok(main.saturating_add(beside).max(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::convert::Infallible;

    #[test]
    fn sidecars_count_beside_what_comes_after_them() {
        let sidecar = |need: u32| json!({"name": need.to_string(), "restartPolicy": "Always"});
        let plain = |need: u32| json!({"name": need.to_string()});
        for (init, main, expected) in [
            (json!([]), json!([plain(1), plain(2)]), 3),
            (json!([plain(5)]), json!([plain(1), plain(2)]), 5),
            (json!([sidecar(5)]), json!([plain(1), plain(2)]), 8),
            (json!([sidecar(5), plain(4)]), json!([plain(1), plain(2)]), 9),
            (json!([plain(4), sidecar(5)]), json!([plain(1)]), 6),
        ] {
            let spec: PodSpec = serde_json::from_value::<Value>(json!({"initContainers": init, "containers": main}))
                .and_then(serde_json::from_value)
                .unwrap();
            let found = at_once(&spec, |container| Ok::<_, Infallible>(container.name.parse().unwrap()));
            assert_eq!(found, Ok(expected), "{init} {main}");
        }
    }
}
