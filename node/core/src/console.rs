//! A container's own standard input and terminal, to which somebody may attach.

use k8s_openapi::api::core::v1::Container;

/// What the file of a container says of them.
pub fn pairs(container: &Container) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    if container.stdin == Some(true) {
        let once = container.stdin_once == Some(true);
        pairs.push(("stdin", if once { "once" } else { "open" }.to_owned()));
    }
    if container.tty == Some(true) {
        pairs.push(("tty", "1".to_owned()));
    }
    pairs
}

/// A program on a terminal is told what kind it is, unless the pod says that itself.
pub fn add_variables(container: &Container, variables: &mut Vec<(String, String)>) {
    if container.tty == Some(true) && variables.iter().all(|(name, _)| name != "TERM") {
        variables.push(("TERM".to_owned(), "xterm".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(stdin: bool, once: bool, tty: bool) -> Container {
        Container {
            stdin: Some(stdin),
            stdin_once: Some(once),
            tty: Some(tty),
            ..Container::default()
        }
    }

    #[test]
    fn an_input_is_kept_open_or_given_away_once() {
        let said = |stdin, once, tty| {
            let pairs = pairs(&container(stdin, once, tty));
            let lines = pairs.iter().map(|(key, value)| format!("{key}={value}"));
            lines.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(said(false, false, false), "");
        assert_eq!(said(true, false, false), "stdin=open");
        assert_eq!(said(true, true, true), "stdin=once tty=1");
        // Without an input there is nothing to be given away.
        assert_eq!(said(false, true, true), "tty=1");
    }

    #[test]
    fn a_terminal_has_a_kind() {
        let variables = |tty, given: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let mut variables: Vec<_> = given.iter().map(own).collect();
            add_variables(&container(true, false, tty), &mut variables);
            variables
        };
        assert!(variables(false, &[]).is_empty());
        assert_eq!(variables(true, &[])[0], ("TERM".to_owned(), "xterm".to_owned()));
        assert_eq!(variables(true, &[("TERM", "vt100")]).len(), 1);
    }
}
