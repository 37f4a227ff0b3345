//! Who a container's processes are.
//!
//! On the compute node they are the account, always. Inside they see themselves as root, as the number that the pod names (in
//! a user namespace that holds nothing but the account), or as the account: a container that shall not be root is not root on
//! either side.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::policy::Users;
use crate::translate::Fault;

/// Who a container sees itself as: `root`, `account` or a number.
///
/// # Errors
/// A [`Fault`]: root where the pod forbids it (waited for, as on a kubelet), or numbers where the site refuses them.
pub fn user(spec: &PodSpec, container: &Container, users: Users, runtime: &str) -> Result<String, Fault> {
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
    Ok(match user {
        Some(0) => "root".to_owned(),
        Some(_) if runtime == "none" => "account".to_owned(),
        Some(user) => user.to_string(),
        None if non_root => "account".to_owned(),
        None => "root".to_owned(),
    })
}

/// The group of a container whose user is a number: its own, else that which the pod's volumes are to have; `None`: as the
/// image says.
pub fn group(spec: &PodSpec, container: &Container) -> Option<i64> {
    let pod = spec.security_context.as_ref();
    let own = container.security_context.as_ref().and_then(|own| own.run_as_group);
    own.or(pod.and_then(|pod| pod.run_as_group))
        .or(pod.and_then(|pod| pod.fs_group))
}

/// The capabilities that a container's root keeps (of those over what is the account's), in the words of setpriv; `None`: all.
///
/// As with a kubelet's runtime, `ALL` is dropped before others are added, and all else after it.
///
/// # Errors
/// A rejection: a name that none can have.
pub fn capabilities(container: &Container) -> Result<Option<String>, Fault> {
    let context = container.security_context.as_ref();
    let Some(asked) = context.and_then(|context| context.capabilities.as_ref()) else {
        return Ok(None);
    };
    let (all, dropped): (Vec<&String>, _) = asked.drop.iter().flatten().partition(|name| *name == "ALL");
    if all.is_empty() && dropped.is_empty() {
        return Ok(None);
    }
    let added = asked.add.iter().flatten().map(|name| ('+', name));
    let named = added
        .chain(dropped.into_iter().map(|name| ('-', name)))
        .map(|(sign, name)| {
            let plain = name.strip_prefix("CAP_").unwrap_or(name);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
                let what = format!("container {}: {name:?} is no capability", container.name);
                return Err(Fault::rejected("InvalidPod", what));
            }
            Ok(format!("{sign}{}", plain.to_ascii_lowercase()))
        });
    let first = (!all.is_empty()).then(|| Ok("-all".to_owned()));
    let words: Vec<String> = first.into_iter().chain(named).collect::<Result<_, _>>()?;
    Ok(Some(words.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn who(pod: Value, own: Value, users: Users) -> Result<String, Fault> {
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
            (json!({"runAsUser": 1000, "fsGroup": 2000}), json!({}), "1000"),
            (json!({"runAsUser": 1000}), json!({"runAsUser": 1001}), "1001"),
            (json!({"runAsUser": 1000}), json!({"runAsUser": 0}), "root"),
            (
                json!({}),
                json!({"runAsUser": 1000, "runAsNonRoot": true, "runAsGroup": 3000}),
                "1000",
            ),
        ] {
            assert_eq!(
                who(pod.clone(), own.clone(), Users::Account),
                Ok(expected.to_owned()),
                "{pod} {own}"
            );
        }
        let forbidden = who(json!({"runAsNonRoot": true}), json!({"runAsUser": 0}), Users::Account);
        assert!(matches!(forbidden, Err(Fault::Incomplete { .. })));
    }

    #[test]
    fn capabilities_are_dropped_and_added_as_a_runtime_does() {
        let kept = |asked: Value| {
            let container = json!({"name": "c", "securityContext": {"capabilities": asked}});
            capabilities(&serde_json::from_value(container).unwrap())
        };
        for (asked, expected) in [
            (json!({}), None),
            (json!({"add": ["CHOWN"]}), None),
            (json!({"drop": ["ALL"]}), Some("-all")),
            (
                json!({"drop": ["ALL"], "add": ["CHOWN", "CAP_KILL"]}),
                Some("-all,+chown,+kill"),
            ),
            (
                json!({"drop": ["NET_RAW", "CHOWN"], "add": ["CHOWN"]}),
                Some("+chown,-net_raw,-chown"),
            ),
        ] {
            assert_eq!(kept(asked.clone()), Ok(expected.map(str::to_owned)), "{asked}");
        }
        for name in ["net_raw", "", "CAP_", "A,B", "A B"] {
            assert!(
                matches!(kept(json!({"drop": [name]})), Err(Fault::Rejected(_))),
                "{name:?}"
            );
        }
    }

    #[test]
    fn the_group_is_the_nearest_that_is_named() {
        let named = |pod: Value, own: Value| {
            let spec: PodSpec = serde_json::from_value(json!({"containers": [], "securityContext": pod})).unwrap();
            let container: Container = serde_json::from_value(json!({"name": "c", "securityContext": own})).unwrap();
            group(&spec, &container)
        };
        let all = json!({"runAsGroup": 1, "fsGroup": 2});
        assert_eq!(named(all.clone(), json!({"runAsGroup": 3})), Some(3));
        assert_eq!(named(all, json!({})), Some(1));
        assert_eq!(named(json!({"fsGroup": 2}), json!({})), Some(2));
        assert_eq!(named(json!({"runAsUser": 1000}), json!({})), None);
    }

    #[test]
    fn without_a_runtime_the_account_stands_for_numbers() {
        let spec: PodSpec =
            serde_json::from_value(json!({"containers": [], "securityContext": {"runAsUser": 1000}})).unwrap();
        let container: Container = serde_json::from_value(json!({"name": "c"})).unwrap();
        assert_eq!(
            user(&spec, &container, Users::Account, "none"),
            Ok("account".to_owned())
        );
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
            Ok("account".to_owned())
        );
    }
}
