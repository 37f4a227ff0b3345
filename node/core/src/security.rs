//! Who a container's processes are.
//!
//! On the compute node they are the account, always. Inside they see themselves as root (of a user namespace that holds
//! nothing but the account) or as the account: a container that shall not be root is not root on either side.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::policy::Users;
use crate::translate::Fault;

/// Who a container sees itself as: `root` or `account`.
///
/// # Errors
/// A [`Fault`]: root where the pod forbids it (waited for, as on a kubelet), or numbers where the site refuses them.
pub fn user(spec: &PodSpec, container: &Container, users: Users, runtime: &str) -> Result<&'static str, Fault> {
    let pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(pod.run_as_user);
    let group = own.run_as_group.or(pod.run_as_group);
    let non_root = own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false);
    if non_root && user == Some(0) {
        return Err(Fault::incomplete(format!(
            "container {}: runAsUser 0 breaks runAsNonRoot",
            container.name
        )));
    }
    let refuse = |what: String| {
        Err(Fault::rejected(
            "UnsupportedSecurityContext",
            format!("container {}: {what}", container.name),
        ))
    };
    if user == Some(0) && runtime == "none" {
        return refuse("without a container runtime nobody is root, and runAsUser is 0".to_owned());
    }
    if users == Users::Exact {
        let groups = pod.supplemental_groups.unwrap_or_default();
        let asked = [
            ("runAsUser", user.filter(|user| *user != 0)),
            ("runAsGroup", group.filter(|group| *group != 0)),
            ("fsGroup", pod.fs_group),
            ("supplementalGroups", groups.first().copied()),
        ];
        if let Some((field, Some(id))) = asked.into_iter().find(|(_, id)| id.is_some()) {
            return refuse(format!(
                "this site does not let the account stand for {field} {id} (policy.users)"
            ));
        }
    }
    let root = user.map_or(!non_root, |user| user == 0);
    Ok(if root { "root" } else { "account" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn who(pod: Value, own: Value, users: Users) -> Result<&'static str, Fault> {
        let spec: PodSpec = serde_json::from_value(json!({"containers": [], "securityContext": pod})).unwrap();
        let container: Container = serde_json::from_value(json!({"name": "c", "securityContext": own})).unwrap();
        user(&spec, &container, users, "apptainer")
    }

    #[test]
    fn a_container_is_root_only_where_nobody_forbids_it() {
        for (pod, own, expected) in [
            (json!({}), json!({}), "root"),
            (json!({"runAsNonRoot": true}), json!({}), "account"),
            (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), "root"),
            (json!({"runAsUser": 1000, "fsGroup": 2000}), json!({}), "account"),
            (json!({"runAsUser": 1000}), json!({"runAsUser": 0}), "root"),
            (
                json!({}),
                json!({"runAsUser": 1000, "runAsNonRoot": true, "runAsGroup": 3000}),
                "account",
            ),
        ] {
            assert_eq!(
                who(pod.clone(), own.clone(), Users::Account),
                Ok(expected),
                "{pod} {own}"
            );
        }
        let forbidden = who(json!({"runAsNonRoot": true}), json!({"runAsUser": 0}), Users::Account);
        assert!(matches!(forbidden, Err(Fault::Incomplete { .. })));
    }

    #[test]
    fn a_strict_site_refuses_numbers() {
        for (pod, field) in [
            (json!({"runAsUser": 1000}), "runAsUser"),
            (json!({"runAsGroup": 1000}), "runAsGroup"),
            (json!({"fsGroup": 1000}), "fsGroup"),
            (json!({"supplementalGroups": [5]}), "supplementalGroups"),
        ] {
            match who(pod, json!({}), Users::Exact) {
                Err(Fault::Rejected(rejection)) => assert!(rejection.message.contains(field), "{}", rejection.message),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            who(json!({"runAsNonRoot": true}), json!({}), Users::Exact),
            Ok("account")
        );
    }
}
