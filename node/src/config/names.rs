//! Which texts Kubernetes takes as names, label keys and label values.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation` and, for labels of nodes, `pkg/kubelet/apis/well_known_labels.go`.

/// Letters, digits and some other characters inside, letters or digits at both ends.
fn is_name(text: &str, longest: usize, fits: fn(u8) -> bool) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= longest && end(bytes.first()) && end(bytes.last()) && bytes.iter().all(|b| fits(*b))
}

/// A DNS subdomain of at most `longest` characters.
pub fn is_subdomain(text: &str, longest: usize) -> bool {
    let label = |label: &str| {
        is_name(label, longest, |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
        })
    };
    text.len() <= longest && text.split('.').all(label)
}

/// The part of a key after its prefix, or a label's value that is not empty.
fn is_word(text: &str) -> bool {
    is_name(text, 63, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// `name` or `prefix/name`.
pub fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix, 253) && is_word(name),
        None => is_word(text),
    }
}

/// The value of a label or of a taint; it may be empty.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

/// Whether a node may give itself a label with this key: below `kubernetes.io` and `k8s.io` only some, for the API server
/// refuses the others (NodeRestriction).
pub fn is_label_of_nodes(key: &str) -> bool {
    const KNOWN: [&str; 9] = [
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
    ];
    let Some((prefix, _)) = key.split_once('/') else {
        return true;
    };
    let below = |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let reserved = below("kubernetes.io") || below("k8s.io");
    !reserved || KNOWN.contains(&key) || below("kubelet.kubernetes.io") || below("node.kubernetes.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        for name in ["a", "gpu-1.site", "10.0.0.1"] {
            assert!(is_subdomain(name, 63), "{name}");
        }
        for name in ["", "A", "a..b", "-a", "a.", "a_b", &"x".repeat(64)] {
            assert!(!is_subdomain(name, 63), "{name}");
        }
        for key in ["a", "example.org/Tier_1", "nvidia.com/gpu"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "Example.org/a", "a b", "a/b/c", &"x".repeat(64)] {
            assert!(!is_key(key), "{key}");
        }
        assert!(is_label_value("") && is_label_value("A.b_c-1") && !is_label_value("-a") && !is_label_value("a b"));
    }

    #[test]
    fn labels_that_node_restriction_refuses_are_known() {
        for key in [
            "site",
            "example.org/a",
            "topology.kubernetes.io/zone",
            "x.node.kubernetes.io/a",
            "notk8s.io/a",
        ] {
            assert!(is_label_of_nodes(key), "{key}");
        }
        for key in [
            "kubernetes.io/role",
            "node-restriction.kubernetes.io/a",
            "node-role.kubernetes.io/hpc",
            "a.k8s.io/b",
        ] {
            assert!(!is_label_of_nodes(key), "{key}");
        }
    }
}
