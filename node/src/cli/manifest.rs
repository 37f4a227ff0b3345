//! A file with pods and what they refer to, as it is given to `kubectl apply`.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use towline_core::claims;
use towline_core::translate::References;

/// Something to run.
#[derive(Debug, Clone)]
pub enum Work {
    Pod(Box<Pod>),
    Job(Box<Job>),
}

/// A file's content.
#[derive(Debug, Default)]
pub struct Manifest {
    pub works: Vec<Work>,
    /// By namespace.
    references: BTreeMap<String, References>,
    claims: Vec<PersistentVolumeClaim>,
    volumes: Vec<PersistentVolume>,
}

impl Manifest {
    /// What the pods of a namespace can refer to.
    pub fn references(&self, namespace: &str) -> References {
        self.references.get(namespace).cloned().unwrap_or_default()
    }

    /// Reads a file, or standard input for `-`.
    pub fn read(path: &str) -> anyhow::Result<Self> {
        let text = if path == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("failed to read standard input")?;
            text
        } else {
            std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?
        };
        let name = if path == "-" { "standard input" } else { path };
        Self::parse(&text).with_context(|| format!("{name} cannot be run"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // JSON is nearly YAML, but its strings may hold characters that YAML's may not.
        let documents: Vec<Value> = if text.trim_start().starts_with('{')
            && let Ok(documents) = serde_json::Deserializer::from_str(text).into_iter().collect()
        {
            documents
        } else {
            // As in `kubectl apply`: 0644 is a mode. `yes` and `on` are no booleans here but text, or an error that says so.
            let options = serde_saphyr::options! { legacy_octal_numbers: true, strict_booleans: true };
            serde_saphyr::from_multiple_with_options(text, options).context("it is not YAML")?
        };
        let mut manifest = Self::default();
        for document in documents {
            manifest.add(document)?;
        }
        if manifest.works.is_empty() {
            bail!("there is no Pod and no Job in it");
        }
        manifest.bind();
        Ok(manifest)
    }

    /// Claims get their volumes, as a controller of Kubernetes would decide it.
    fn bind(&mut self) {
        claims::bind(&mut self.claims, &mut self.volumes);
        for claim in &self.claims {
            let of = self.references.entry(namespace(&claim.metadata)).or_default();
            of.claims
                .insert(claim.metadata.name.clone().unwrap_or_default(), claim.clone());
            for volume in &self.volumes {
                of.persistent_volumes
                    .insert(volume.metadata.name.clone().unwrap_or_default(), volume.clone());
            }
        }
    }

    fn add(&mut self, document: Value) -> anyhow::Result<()> {
        let field = |name: &str| {
            document
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let kind = (field("apiVersion"), field("kind"));
        match (kind.0.as_str(), kind.1.as_str()) {
            _ if document.is_null() => {}
            ("v1", "List") => {
                let Value::Object(mut list) = document else {
                    bail!("a List without a list")
                };
                let Some(Value::Array(items)) = list.remove("items") else {
                    bail!("the List has no items");
                };
                for item in items {
                    self.add(item)?;
                }
            }
            ("v1", "Pod") => self.works.push(Work::Pod(Box::new(read(document)?))),
            ("batch/v1", "Job") => self.works.push(Work::Job(Box::new(read(document)?))),
            ("v1", "ConfigMap") => {
                let config_map: ConfigMap = read(document)?;
                let name = named(&config_map.metadata, "ConfigMap")?;
                let of = self.references.entry(namespace(&config_map.metadata)).or_default();
                if of.config_maps.insert(name.clone(), config_map).is_some() {
                    bail!("there are two ConfigMaps {name}");
                }
            }
            ("v1", "Secret") => {
                let mut secret: Secret = read(document)?;
                // As the API server does it: stringData is written into data.
                for (key, text) in secret.string_data.take().unwrap_or_default() {
                    secret
                        .data
                        .get_or_insert_default()
                        .insert(key, ByteString(text.into_bytes()));
                }
                let name = named(&secret.metadata, "Secret")?;
                let of = self.references.entry(namespace(&secret.metadata)).or_default();
                if of.secrets.insert(name.clone(), secret).is_some() {
                    bail!("there are two Secrets {name}");
                }
            }
            ("v1", "PersistentVolumeClaim") => {
                let claim: PersistentVolumeClaim = read(document)?;
                let name = named(&claim.metadata, "PersistentVolumeClaim")?;
                let same = |other: &PersistentVolumeClaim| {
                    other.metadata.name == claim.metadata.name
                        && namespace(&other.metadata) == namespace(&claim.metadata)
                };
                if self.claims.iter().any(same) {
                    bail!("there are two PersistentVolumeClaims {name}");
                }
                self.claims.push(claim);
            }
            ("v1", "PersistentVolume") => {
                let volume: PersistentVolume = read(document)?;
                let name = named(&volume.metadata, "PersistentVolume")?;
                if self
                    .volumes
                    .iter()
                    .any(|other| other.metadata.name == volume.metadata.name)
                {
                    bail!("there are two PersistentVolumes {name}");
                }
                self.volumes.push(volume);
            }
            ("", _) | (_, "") => bail!("one of its documents has no apiVersion or no kind"),
            (version, kind) => bail!(
                "it has a {kind} of {version}, which cannot be run without Kubernetes: Pod, Job, ConfigMap, Secret, PersistentVolumeClaim, PersistentVolume and List can"
            ),
        }
        Ok(())
    }
}

/// An object's namespace.
pub fn namespace(metadata: &ObjectMeta) -> String {
    metadata.namespace.clone().unwrap_or_else(|| "default".to_owned())
}

fn named(metadata: &ObjectMeta, kind: &str) -> anyhow::Result<String> {
    metadata
        .name
        .clone()
        .filter(|name| !name.is_empty())
        .with_context(|| format!("one {kind} has no name"))
}

/// An object's own name, or one made of its `generateName`.
pub fn name_of(metadata: &ObjectMeta, kind: &str) -> anyhow::Result<String> {
    let name = match (&metadata.name, &metadata.generate_name) {
        (Some(name), _) if !name.is_empty() => name.clone(),
        (_, Some(prefix)) if !prefix.is_empty() => format!("{prefix}{}", suffix()),
        _ => bail!("one {kind} has neither a name nor a generateName"),
    };
    let part = |text: &str| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !text.is_empty() && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(part) {
        bail!("{name:?} cannot be the name of a {kind}: use at most 253 of a-z, 0-9, - and .");
    }
    Ok(name)
}

/// Five letters that make no words, as Kubernetes appends them.
pub fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}

/// A fresh UID: a UUID of version 4.
pub fn uid() -> String {
    let bits = (rand::rng().random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Reads an object; a field that its type does not have is an error, as with `kubectl apply --validate=strict`.
fn read<T: Serialize + DeserializeOwned>(document: Value) -> anyhow::Result<T> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    let name = document
        .pointer("/metadata/name")
        .or_else(|| document.pointer("/metadata/generateName"));
    let what = format!("{kind} {}", name.and_then(Value::as_str).unwrap_or("without a name"));
    let read: T = serde_path_to_error::deserialize(&document)
        .map_err(|error| anyhow::anyhow!("{}: {}", error.path(), error.inner()))
        .with_context(|| format!("failed to read {what}"))?;
    let known = serde_json::to_value(&read).with_context(|| format!("failed to read {what}"))?;
    let mut unknown = Vec::new();
    compare(&document, &known, "", &mut unknown);
    if !unknown.is_empty() {
        bail!("{what} has unknown fields: {}", unknown.join(", "));
    }
    Ok(read)
}

/// What was written but not understood.
fn compare(written: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written.iter().filter(|(_, value)| !value.is_null()) {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match known.get(key) {
                    Some(known) => compare(value, known, &path, unknown),
                    // What is empty may be left out again.
                    None if value.as_object().is_some_and(serde_json::Map::is_empty) => {}
                    None if value.as_array().is_some_and(Vec::is_empty) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (n, (written, known)) in written.iter().zip(known).enumerate() {
                compare(written, known, &format!("{path}[{n}]"), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", Manifest::parse(text).unwrap_err())
    }

    #[test]
    fn several_documents_and_lists_are_read() {
        let text = "---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: eA==}, stringData: {b: y}}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: b-}\nspec: {template: {spec: {containers: []}}}\n---\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.works.len(), 2);
        let secret = manifest.references("default").secrets["s"].clone();
        let data = secret.data.unwrap();
        assert_eq!((data["a"].0.as_slice(), data["b"].0.as_slice()), (&b"x"[..], &b"y"[..]));
        assert!(manifest.references("other").secrets.is_empty());
    }

    #[test]
    fn claims_get_the_volumes_of_the_file() {
        let text = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: disk}\nspec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /exports/data}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n";
        let references = Manifest::parse(text).unwrap().references("default");
        let claim = references.claims["data"].spec.clone().unwrap();
        assert_eq!(claim.volume_name.as_deref(), Some("disk"));
        assert!(
            references.persistent_volumes["disk"]
                .spec
                .as_ref()
                .unwrap()
                .claim_ref
                .is_some()
        );
        let twice = error(&format!("{text}---\n{}", &text[..text.find("---").unwrap()]));
        assert!(twice.contains("two PersistentVolumeClaims data"), "{twice}");
    }

    #[test]
    fn modes_and_words_are_read_as_they_are_meant() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: y, b: on}}\nspec: {containers: [], volumes: [{name: v, configMap: {name: c, defaultMode: 0440}}]}\n";
        let Work::Pod(pod) = Manifest::parse(text).unwrap().works.remove(0) else {
            panic!("not a pod")
        };
        assert_eq!(pod.metadata.labels.unwrap()["a"], "y");
        let volumes = pod.spec.unwrap().volumes.unwrap();
        assert_eq!(volumes[0].config_map.as_ref().unwrap().default_mode, Some(0o440));
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        assert!(error("apiVersion: apps/v1\nkind: Deployment\n").contains("Deployment of apps/v1"));
        assert!(error("a: [").contains("not YAML"));
        assert!(error("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").contains("no Pod and no Job"));
        assert!(error("kind: Pod\n").contains("no apiVersion"));
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, imagee: x, args: [], resources: {}}\n  restart: Never\n  nodeName: null\n";
        let said = error(text);
        assert!(
            said.contains("Pod p has unknown fields: spec.containers[0].imagee, spec.restart"),
            "{said}"
        );
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, args: 7}\n";
        assert!(error(text).contains("spec.containers[0].args"), "{}", error(text));
    }

    #[test]
    fn a_fresh_uid_is_a_uuid_of_version_4() {
        let (one, two) = (uid(), uid());
        assert_ne!(one, two);
        assert!(towline_core::naming::valid_uid(&one) && one.len() == 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]));
    }

    #[test]
    fn names_are_given_and_checked() {
        let metadata = |name: Option<&str>, prefix: Option<&str>| ObjectMeta {
            name: name.map(str::to_owned),
            generate_name: prefix.map(str::to_owned),
            ..ObjectMeta::default()
        };
        assert_eq!(name_of(&metadata(Some("a.b-c"), None), "Pod").unwrap(), "a.b-c");
        assert_eq!(name_of(&metadata(None, Some("a-")), "Pod").unwrap().len(), 7);
        for bad in [
            metadata(None, None),
            metadata(Some("A"), None),
            metadata(Some("a\nb"), None),
            metadata(Some("-a"), None),
        ] {
            assert!(name_of(&bad, "Pod").is_err());
        }
    }
}
