//! Names that Towline gives: agents, jobs, annotations.

/// The prefix of Towline's labels, annotations and taints.
pub const PREFIX: &str = "towline.dev";

/// An agent's name on the cluster: a directory below `agents/` and a part of each job's name.
///
/// # Errors
/// It is not a lower-case DNS label.
pub fn agent(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} cannot be an agent's name: use 1 to 63 of a-z, 0-9, - and ., letters or digits at both ends"
        ))
    }
}

/// The name of a pod's job, by which it is found when nobody heard its id.
pub fn job(agent: &str, uid: &str) -> String {
    format!("towline-{agent}-{uid}")
}

/// A UID is used as a file name on the cluster: the API's are UUIDs, a static pod's may be a hash.
pub fn valid_uid(uid: &str) -> bool {
    (1..=64).contains(&uid.len())
        && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !uid.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(agent("node-a.b1").is_ok());
        for bad in ["", "-a", "a/b", "A", "..", "a.", &"x".repeat(64)] {
            assert!(agent(bad).is_err(), "{bad}");
        }
        assert!(valid_uid("6f0c9a2e-1f7e-4c55-9f1d-0d8a6a3f3f10"));
        assert!(!valid_uid("../x") && !valid_uid("") && !valid_uid("-rf"));
    }
}
