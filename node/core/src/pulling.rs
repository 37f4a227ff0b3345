//! Credentials for an image: those of the pod's imagePullSecrets that belong to the image's registry.
//!
//! Source: `pkg/credentialprovider/keyring.go` and `config.go` of Kubernetes.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{PodSpec, Secret};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::bundle::Bundle;
use crate::events::Event;
use crate::translate::{Fault, References};
use crate::words;

/// A name and a password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password or token.
    pub password: String,
}

/// The names of the secrets that a pod's images may be pulled with.
pub fn secrets(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let names = spec.image_pull_secrets.iter().flatten();
    names
        .map(|reference| reference.name.as_str())
        .filter(|name| !name.is_empty())
}

/// What is said of secrets that are not there: the image may be pulled without. The words are those of
/// `pkg/kubelet/kubelet_pods.go`.
pub fn missing(spec: &PodSpec, references: &References) -> Option<Event> {
    let names: Vec<&str> = secrets(spec)
        .filter(|name| !references.secrets.contains_key(*name))
        .collect();
    let message = format!(
        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
        names.join(", ")
    );
    (!names.is_empty()).then(|| Event::warning("FailedToRetrieveImagePullSecret", message))
}

/// Adds a container's credentials, if there are any for its image or a mirror of it: `auth/NAME` for the scripts and
/// `auth/NAME.N.curl` for curl, N being the number of the place: 0 for the image, 1 for its first mirror.
/// A secret that is not there is passed over, as by a kubelet: the image may not need it.
///
/// # Errors
/// Credentials that no program can be given (a NUL byte).
pub fn add(
    bundle: &mut Bundle,
    spec: &PodSpec,
    references: &References,
    container: &str,
    (image, mirrors): (&str, &[String]),
) -> Result<(), Fault> {
    let found = || secrets(spec).filter_map(|name| references.secrets.get(name));
    let places = std::iter::once(image).chain(mirrors.iter().map(String::as_str));
    let all: Vec<Option<Credentials>> = places.map(|place| of(place, found())).collect();
    if all.iter().all(Option::is_none) {
        return Ok(());
    }
    bundle.directory("auth", 0o700);
    let mut listed = Vec::new();
    for (n, credentials) in all.into_iter().enumerate() {
        let Credentials { user, password } = credentials.unwrap_or_default();
        if !user.is_empty() {
            bundle.file(format!("auth/{container}.{n}.curl"), curl(&user, &password));
        }
        listed.extend([user, password]);
    }
    // An image that was pulled with these is for those alone who have them: its place on the cluster is named after them.
    let hash = Sha256::digest(listed.join("\n"));
    let tag: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    listed.insert(0, tag);
    bundle.file(format!("auth/{container}"), words::encode(listed)?);
    Ok(())
}

/// A configuration of curl.
fn curl(user: &str, password: &str) -> String {
    let mut text = String::from("user = \"");
    for c in format!("{user}:{password}").chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push(c),
        }
    }
    text.push_str("\"\n");
    text
}

/// The credentials that fit an image best: those for the longest part of its path.
fn of<'a>(image: &str, secrets: impl Iterator<Item = &'a Secret>) -> Option<Credentials> {
    let mut best: Option<(usize, Credentials)> = None;
    for secret in secrets {
        for (place, entry) in entries(secret).into_iter().flatten() {
            let Some(credentials) = credentials(&entry) else {
                continue;
            };
            let Some(length) = fits(image, &place) else { continue };
            if best.as_ref().is_none_or(|(longest, _)| length > *longest) {
                best = Some((length, credentials));
            }
        }
    }
    best.map(|(_, credentials)| credentials)
}

fn entries(secret: &Secret) -> Option<Map<String, Value>> {
    let data = secret.data.as_ref()?;
    let read = |key: &str| -> Option<Value> { serde_json::from_slice(&data.get(key)?.0).ok() };
    let all = match read(".dockerconfigjson") {
        Some(config) => config.get("auths")?.clone(),
        None => read(".dockercfg")?,
    };
    match all {
        Value::Object(entries) => Some(entries),
        _ => None,
    }
}

fn credentials(entry: &Value) -> Option<Credentials> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(auth) = text("auth") {
        let decoded: ByteString = serde_json::from_value(auth.into()).ok()?;
        let decoded = String::from_utf8(decoded.0).ok()?;
        let (user, password) = decoded.split_once(':')?;
        return Some(Credentials {
            user: user.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        });
    }
    Some(Credentials {
        user: text("username")?.to_owned(),
        password: text("password")?.to_owned(),
    })
}

/// How much of an image's place an entry names; `None`: it is for other images.
fn fits(image: &str, place: &str) -> Option<usize> {
    let place = place.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    // (`https://index.docker.io/v1/`, as docker login writes it.)
    let mut versions = ["v1", "v2"]
        .into_iter()
        .filter_map(|version| path.strip_prefix(version));
    let path = versions
        .find(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path);
    let path = path.trim_matches('/');
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") {
        "docker.io"
    } else {
        host
    };
    let (image_host, image_path) = image.split_once('/')?;
    let parts = |host: &str| {
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        (name.split('.').map(str::to_owned).collect::<Vec<_>>(), port.to_owned())
    };
    let ((wanted, wanted_port), (labels, port)) = (parts(host), parts(image_host));
    let same = wanted_port == port
        && wanted.len() == labels.len()
        && wanted.iter().zip(&labels).all(|(wanted, label)| glob(wanted, label));
    let below = path.is_empty()
        || image_path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with(['/', ':', '@']) || rest.is_empty());
    (same && below).then_some(path.len())
}

/// Whether a label of a host's name fits a pattern with `*` and `?`.
fn glob(pattern: &str, label: &str) -> bool {
    let (pattern, label) = (pattern.as_bytes(), label.as_bytes());
    let (mut p, mut l) = (0, 0);
    // Where the last `*` stands, and how much it has been tried to take.
    let mut star = None;
    while l < label.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, l));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == label[l] => {
                p += 1;
                l += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, l) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Entry;
    use proptest::prelude::*;
    use serde_json::json;

    fn secret(auths: Value) -> Secret {
        Secret {
            data: Some(
                [(
                    ".dockerconfigjson".to_owned(),
                    ByteString(json!({"auths": auths}).to_string().into_bytes()),
                )]
                .into(),
            ),
            ..Secret::default()
        }
    }

    fn user(image: &str, auths: Value) -> Option<String> {
        of(image, [&secret(auths)].into_iter()).map(|found| found.user)
    }

    #[test]
    fn the_entry_that_names_most_of_the_image_is_taken() {
        let one = |name: &str| json!({"username": name, "password": "x"});
        let auths = json!({
            "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
            "quay.io": one("all"), "quay.io/team": one("team"), "*.example.org": one("wild"), "registry:5000": one("port"),
            "https://hub.lab/v2/": one("versioned"), "*n?de.lab:5000/a": one("glob")
        });
        for (image, expected) in [
            ("docker.io/library/a:1", Some("hub")),
            ("quay.io/team/a", Some("team")),
            ("quay.io/teams/a", Some("all")),
            ("x.example.org/a", Some("wild")),
            ("y.x.example.org/a", None),
            ("registry:5000/a", Some("port")),
            ("registry/a", None),
            ("hub.lab/a", Some("versioned")),
            ("my-node.lab:5000/a/b", Some("glob")),
            ("node.lab:5000/b", None),
            ("node.lab/a", None),
            ("nde.lab:5000/a", None),
            ("ghcr.io/a", None),
            ("/cvmfs/a.sif", None),
        ] {
            assert_eq!(user(image, auths.clone()).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn credentials_are_files_that_no_container_sees() {
        let spec: PodSpec =
            serde_json::from_value(json!({"containers": [], "imagePullSecrets": [{"name": "gone"}, {"name": "s"}]}))
                .unwrap();
        let mut references = References::default();
        references.secrets.insert(
            "s".into(),
            secret(json!({"quay.io": {"username": "u", "password": "p\"\\\n"}})),
        );
        let told = missing(&spec, &references).unwrap();
        assert_eq!(
            told.message,
            "Unable to retrieve some image pull secrets (gone); attempting to pull the image may not succeed."
        );
        let mut bundle = Bundle::default();
        add(
            &mut bundle,
            &spec,
            &references,
            "c",
            ("quay.io/a", &["ghcr.io/a".into()]),
        )
        .unwrap();
        add(&mut bundle, &spec, &references, "other", ("ghcr.io/a", &[])).unwrap();
        let mirrors = ["/cvmfs/a".to_owned(), "quay.io/mirror/a".to_owned()];
        add(&mut bundle, &spec, &references, "far", ("ghcr.io/a", &mirrors)).unwrap();
        let names: Vec<&String> = bundle.entries.keys().collect();
        let wanted = ["auth", "auth/c", "auth/c.0.curl", "auth/far", "auth/far.2.curl"];
        assert_eq!(names, wanted);
        let Entry::File(_, listed) = &bundle.entries["auth/far"] else {
            panic!("no file");
        };
        let listed = String::from_utf8(listed.clone()).unwrap();
        assert!(listed.ends_with("\n=\n=\n=\n=\n=u\n=p\"\\\n+\n"), "{listed:?}");
        let text = String::from("user = \"u:p\\\"\\\\\\n\"\n");
        assert_eq!(bundle.entries["auth/c.0.curl"], Entry::File(0o600, text.into_bytes()));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,30}", image in "\\PC{0,30}") {
            let _ = user(&image, json!({text.clone(): {"auth": text.clone()}}));
        }
    }
}
