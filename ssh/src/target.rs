//! A destination as OpenSSH users write it.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// `[user@]host[:port]`, before any configuration is looked at: the host may be an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The account, if one is named.
    pub user: Option<String>,
    /// A host name, an address without brackets, or an alias.
    pub host: String,
    /// The port, if one is named.
    pub port: Option<u16>,
}

impl Target {
    /// Reads `host`, `user@host`, `user@host:port`, `[v6]:port`, a bare IPv6 address, or `ssh://user@host:port`.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Invalid(format!("{text:?} is not a target ([user@]host[:port]): {why}"));
        let rest = match text.split_once("://") {
            Some(("ssh", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some((scheme, _)) => return Err(wrong(&format!("{scheme}:// is not ssh://"))),
            None => text,
        };
        // An account may hold an `@` (a mail address); a host never does.
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let (host, port) = split_port(host).ok_or_else(|| wrong("the brackets are not closed"))?;
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err(wrong("the port is not a number from 1 to 65535")),
            },
        };
        if user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
            return Err(wrong("the account is empty or begins with a dash"));
        }
        if host.is_empty() || host.starts_with('-') {
            return Err(wrong("the host is empty or begins with a dash"));
        }
        if rest.chars().any(|c| c.is_control() || c.is_whitespace()) || host.contains('/') {
            return Err(wrong("it holds a character that no host has"));
        }
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    }
}

/// Host and port; more than one colon without brackets is an IPv6 address.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    Some(match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    })
}

impl FromStr for Target {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (_, None) => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Option<String>, String, Option<u16>) {
        let target = Target::parse(text).unwrap();
        (target.user, target.host, target.port)
    }

    #[test]
    fn each_way_of_writing_a_target_is_understood() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("login"), (None, "login".into(), None));
        assert_eq!(parts("alice@login:2222"), (some("alice"), "login".into(), Some(2222)));
        assert_eq!(parts("a@site.org@login"), (some("a@site.org"), "login".into(), None));
        assert_eq!(
            parts("ssh://alice@login:22/"),
            (some("alice"), "login".into(), Some(22))
        );
        assert_eq!(parts("[fe80::1]:22"), (None, "fe80::1".into(), Some(22)));
        assert_eq!(parts("bob@[::1]"), (some("bob"), "::1".into(), None));
        assert_eq!(parts("2001:db8::7"), (None, "2001:db8::7".into(), None));
    }

    #[test]
    fn what_is_no_target_is_refused_with_a_reason() {
        for text in [
            "",
            "@login",
            "login:",
            "login:0",
            "login:70000",
            "-oProxyCommand=x",
            "a@-x",
            "[::1",
            "[::1]x",
            "http://x",
            "a b",
            "ssh://login/path",
        ] {
            assert!(matches!(Target::parse(text), Err(Error::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn a_target_is_written_as_it_is_read() {
        for text in ["alice@login:22", "login", "[::1]:22", "::1"] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
    }
}
