//! What the configuration's lines mean for one target, and for each host on the way to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::lines::{self, Condition, Line};
use crate::error::Error;
use crate::options::Options;
use crate::pattern::fits_any;
use crate::target::Target;

/// More hosts in a row than this are a circle.
const MAX_HOPS: usize = 8;

/// What holds for one host. The field's documentation names the keyword.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HostName`, tokens expanded; the target's own host otherwise.
    pub host: String,
    /// `Port`, else 22.
    pub port: u16,
    /// `User`, else the local account's name.
    pub user: String,
    /// `IdentityFile`, in order. `None`: none is named, so the usual files are tried.
    pub identity_files: Option<Vec<PathBuf>>,
    /// `IdentitiesOnly`.
    pub identities_only: bool,
    /// `CertificateFile`, in order.
    pub certificate_files: Vec<PathBuf>,
    /// `IdentityAgent`, else `SSH_AUTH_SOCK`; `None` when there is no agent.
    pub agent: Option<PathBuf>,
    /// `HostKeyAlias`: the name to look up in `known_hosts`.
    pub host_key_alias: Option<String>,
    /// `UserKnownHostsFile`.
    pub user_known_hosts: Vec<PathBuf>,
    /// `GlobalKnownHostsFile`.
    pub global_known_hosts: Vec<PathBuf>,
    /// `ServerAliveInterval`; `None`: no keepalives.
    pub alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`.
    pub alive_count: usize,
    /// `ConnectTimeout`.
    pub connect_timeout: Option<Duration>,
}

/// One host on the way, the target last.
pub type Hop = Settings;

/// How to get to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The hosts to go through, the target last.
    pub hops: Vec<Hop>,
    /// Lines that hold for this target and are not followed, with what that means.
    pub notes: Vec<String>,
}

/// What a configuration is read against.
pub struct Context {
    /// The lines of all files, the first to be asked first.
    pub lines: Vec<Line>,
    /// The home directory.
    pub home: PathBuf,
    /// The local account's name.
    pub user: String,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
}

impl Context {
    /// Reads the files and the environment.
    ///
    /// # Errors
    /// A file that cannot be read, or no home directory.
    pub fn read(config_file: Option<&Path>) -> Result<Self, Error> {
        let home = std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or_else(|| Error::Invalid("there is no home directory: set HOME".to_owned()))?;
        let lines = match config_file {
            Some(file) => lines::read(file, &home, false)?,
            None => {
                let mut lines = lines::read(&home.join(".ssh/config"), &home, true)?;
                lines.extend(lines::read(Path::new("/etc/ssh/ssh_config"), &home, true)?);
                lines
            }
        };
        let name = ["USER", "LOGNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok());
        Ok(Self {
            lines,
            user: name.or_else(|| account_of(&home)).unwrap_or_default(),
            home,
            agent: std::env::var_os("SSH_AUTH_SOCK")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
        })
    }
}

/// The owner of the home directory, for processes that are started without `USER`.
fn account_of(home: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata(home).ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| fields[0].to_owned())
    })
}

/// Finds the way to a target.
///
/// # Errors
/// A target that is none, a configuration that cannot be read, a value that makes no sense, a `ProxyCommand`, or an
/// identity of the options that cannot be read.
pub fn resolve(options: &Options) -> Result<Resolved, Error> {
    let context = Context::read(options.config_file.as_deref())?;
    let mut resolved = resolve_in(&context, &Target::parse(&options.target)?)?;
    for hop in &mut resolved.hops {
        if !options.known_hosts_files.is_empty() {
            hop.user_known_hosts = options.known_hosts_files.clone();
            hop.global_known_hosts.clear();
        }
        if options.connect_timeout.is_some() {
            hop.connect_timeout = options.connect_timeout;
        }
    }
    // What was named by hand has to be there; what the configuration names is passed over, as OpenSSH does it.
    for file in &options.identity_files {
        std::fs::read(file)
            .map_err(|error| Error::Invalid(format!("failed to read the identity {}: {error}", file.display())))?;
    }
    if let (Some(last), false) = (resolved.hops.last_mut(), options.identity_files.is_empty()) {
        let configured = last.identity_files.take().unwrap_or_default();
        last.identity_files = Some(options.identity_files.iter().cloned().chain(configured).collect());
    }
    Ok(resolved)
}

/// [`resolve`] against given files.
///
/// # Errors
/// See [`resolve`].
pub fn resolve_in(context: &Context, target: &Target) -> Result<Resolved, Error> {
    let mut notes = Vec::new();
    let mut hops = Vec::new();
    // From the target backwards: each host may name the one before it.
    let mut next = vec![target.clone()];
    while let Some(target) = next.pop() {
        let (settings, jumps) = one(context, &target, &mut notes)?;
        hops.push(settings);
        // Hosts before the first one of an explicit list come from that host's own configuration alone.
        if next.is_empty() {
            next = jumps;
        }
        if hops.len() > MAX_HOPS {
            return Err(Error::Invalid(format!(
                "the way to {target} has more than {MAX_HOPS} hosts: ProxyJump goes in a circle"
            )));
        }
    }
    hops.reverse();
    notes.dedup();
    Ok(Resolved { hops, notes })
}

/// One host's settings, and the hosts that it is reached through.
fn one(context: &Context, target: &Target, notes: &mut Vec<String>) -> Result<(Settings, Vec<Target>), Error> {
    let mut found = Found {
        context,
        target,
        user: target.user.clone(),
        host_name: None,
        port: target.port,
        lines: Vec::new(),
    };
    for line in &context.lines {
        if !line.conditions.iter().all(|condition| found.matches(condition, notes)) {
            continue;
        }
        match (line.keyword.as_str(), line.words.first()) {
            ("user", Some(word)) => found.user = found.user.or_else(|| Some(word.clone())),
            ("hostname", Some(word)) => {
                found.host_name = found
                    .host_name
                    .or_else(|| Some(word.replace("%h", &target.host).replace("%%", "%")));
            }
            ("port", Some(word)) if found.port.is_none() => {
                found.port = Some(word.parse().map_err(|_| wrong(line, "is not a port"))?);
            }
            _ => found.lines.push(line),
        }
    }
    found.settings(notes)
}

fn wrong(line: &Line, why: &str) -> Error {
    Error::Invalid(format!(
        "{}: {} {}: {why}",
        line.place,
        line.keyword,
        line.words.join(" ")
    ))
}

/// The lines that hold for a target.
struct Found<'a> {
    context: &'a Context,
    target: &'a Target,
    user: Option<String>,
    host_name: Option<String>,
    port: Option<u16>,
    lines: Vec<&'a Line>,
}

impl<'a> Found<'a> {
    fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.context.user)
    }

    fn host(&self) -> &str {
        self.host_name.as_deref().unwrap_or(&self.target.host)
    }

    fn matches(&self, condition: &Condition, notes: &mut Vec<String>) -> bool {
        let words = match condition {
            Condition::Host(patterns) => return fits_any(patterns.iter().map(String::as_str), &self.target.host),
            Condition::Match(words) => words,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (negated, word) = match word.strip_prefix('!') {
                Some(word) => (true, word),
                None => (false, word.as_str()),
            };
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let name = name.to_lowercase();
            let text = match name.as_str() {
                "all" => continue,
                "host" => self.host(),
                "originalhost" => &self.target.host,
                "user" => self.user(),
                "localuser" => &self.context.user,
                _ => {
                    notes.push(format!(
                        "`Match {name}` is not followed: the lines below it are left out"
                    ));
                    return false;
                }
            };
            let patterns = inline.or_else(|| words.next().map(String::as_str)).unwrap_or_default();
            if fits_any(patterns.split(','), text) == negated {
                return false;
            }
        }
        true
    }

    fn first(&self, keyword: &str) -> Option<&'a Line> {
        self.lines
            .iter()
            .find(|line| line.keyword == keyword && !line.words.is_empty())
            .copied()
    }

    fn word(&self, keyword: &str) -> Option<&'a str> {
        self.first(keyword)
            .and_then(|line| line.words.first())
            .map(String::as_str)
    }

    /// A path with `~`, `${NAME}` and the tokens of `ssh_config(5)`.
    fn path(&self, word: &str) -> PathBuf {
        let mut out = String::new();
        let mut rest = word;
        while let Some(at) = rest.find(['%', '$']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let mut chars = rest.chars();
            match (chars.next(), chars.next()) {
                (Some('%'), Some(token)) => {
                    match token {
                        '%' => out.push('%'),
                        'h' => out.push_str(self.host()),
                        'n' => out.push_str(&self.target.host),
                        'p' => out.push_str(&self.port.unwrap_or(22).to_string()),
                        'r' => out.push_str(self.user()),
                        'u' => out.push_str(&self.context.user),
                        'd' => out.push_str(&self.context.home.to_string_lossy()),
                        other => out.extend(['%', other]),
                    }
                    rest = chars.as_str();
                }
                (Some('$'), Some('{')) if rest.contains('}') => {
                    let (name, after) = rest[2..].split_once('}').unwrap_or_default();
                    out.push_str(&std::env::var(name).unwrap_or_default());
                    rest = after;
                }
                (first, _) => {
                    out.extend(first);
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        match out.strip_prefix("~/") {
            Some(below) => self.context.home.join(below),
            None => PathBuf::from(out),
        }
    }

    /// All values of a keyword that may be repeated; `none` stands for no file.
    fn paths(&self, keyword: &str) -> Option<Vec<PathBuf>> {
        let mut lines = self.lines.iter().filter(|line| line.keyword == keyword).peekable();
        lines.peek()?;
        let words = lines.filter_map(|line| line.words.first());
        Some(
            words
                .filter(|word| *word != "none")
                .map(|word| self.path(word))
                .collect(),
        )
    }

    fn known_hosts(&self, keyword: &str, usual: [PathBuf; 2]) -> Vec<PathBuf> {
        match self.first(keyword) {
            None => usual.to_vec(),
            Some(line) => line
                .words
                .iter()
                .filter(|word| *word != "none")
                .map(|word| self.path(word))
                .collect(),
        }
    }

    fn duration(&self, keyword: &str) -> Result<Option<Duration>, Error> {
        let Some(line) = self.first(keyword) else {
            return Ok(None);
        };
        seconds(&line.words[0])
            .map(Some)
            .ok_or_else(|| wrong(line, "is not a time"))
    }

    fn agent(&self) -> Option<PathBuf> {
        match self.word("identityagent") {
            None | Some("SSH_AUTH_SOCK") => self.context.agent.clone(),
            Some("none") => None,
            Some(word) => match word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(name) => std::env::var_os(name).map(PathBuf::from),
                None => Some(self.path(word)),
            },
        }
    }

    fn settings(self, notes: &mut Vec<String>) -> Result<(Settings, Vec<Target>), Error> {
        for line in &self.lines {
            if let Some(what) = not_followed(line) {
                notes.push(format!("{}: {} is not followed: {what}", line.place, line.keyword));
            }
        }
        let (home, etc) = (&self.context.home, Path::new("/etc/ssh"));
        let alive_interval = self.duration("serveraliveinterval")?.unwrap_or(Duration::from_secs(15));
        let alive_count = match self.first("serveralivecountmax") {
            None => 3,
            Some(line) => line.words[0].parse().map_err(|_| wrong(line, "is not a number"))?,
        };
        let jumps = self.jumps()?;
        let settings = Settings {
            host: self.host().to_owned(),
            port: self.port.unwrap_or(22),
            user: self.user().to_owned(),
            identity_files: self.paths("identityfile"),
            identities_only: self
                .word("identitiesonly")
                .is_some_and(|word| word.eq_ignore_ascii_case("yes")),
            certificate_files: self.paths("certificatefile").unwrap_or_default(),
            agent: self.agent(),
            host_key_alias: self.word("hostkeyalias").map(str::to_owned),
            user_known_hosts: self.known_hosts(
                "userknownhostsfile",
                [home.join(".ssh/known_hosts"), home.join(".ssh/known_hosts2")],
            ),
            global_known_hosts: self.known_hosts(
                "globalknownhostsfile",
                [etc.join("ssh_known_hosts"), etc.join("ssh_known_hosts2")],
            ),
            alive_interval: Some(alive_interval).filter(|interval| !interval.is_zero()),
            alive_count,
            connect_timeout: self.duration("connecttimeout")?.filter(|timeout| !timeout.is_zero()),
        };
        if settings.user.is_empty() {
            return Err(Error::Invalid(format!(
                "no account is named for {}: write user@{0}",
                self.target
            )));
        }
        Ok((settings, jumps))
    }

    fn jumps(&self) -> Result<Vec<Target>, Error> {
        // Whichever of the two comes first wins over the other.
        let both =
            |line: &&&Line| matches!(line.keyword.as_str(), "proxyjump" | "proxycommand") && !line.words.is_empty();
        let Some(line) = self.lines.iter().find(both) else {
            return Ok(Vec::new());
        };
        if line.words[0].eq_ignore_ascii_case("none") {
            return Ok(Vec::new());
        }
        if line.keyword == "proxycommand" {
            return Err(wrong(
                line,
                "a ProxyCommand cannot be used: use ProxyJump, or connect to a forwarded port",
            ));
        }
        let names = line.words[0].split(',').filter(|name| !name.is_empty());
        names.map(|name| Target::parse(name.trim())).collect()
    }
}

/// Keywords that change which hosts, keys or connections are used and are not followed, with what that means.
fn not_followed(line: &Line) -> Option<&'static str> {
    let word = line.words.first()?.to_lowercase();
    match line.keyword.as_str() {
        "stricthostkeychecking" if !matches!(word.as_str(), "yes" | "ask" | "true") => {
            Some("host keys are always verified; a new one is accepted by an explicit option only")
        }
        "revokedhostkeys" => Some("mark revoked keys with @revoked in known_hosts"),
        "knownhostscommand" => Some("only files are searched for host keys"),
        "canonicalizehostname" if word != "no" => Some("host names are used as they are written"),
        "pkcs11provider" | "securitykeyprovider" if word != "none" => Some("put such keys into an ssh-agent"),
        "bindaddress" | "bindinterface" | "addressfamily" if word != "any" => Some("the system chooses the address"),
        "verifyhostkeydns" if word != "no" => Some("only known_hosts files are searched for host keys"),
        "gssapiauthentication" if word == "yes" => Some("Kerberos is not offered"),
        _ => None,
    }
}

/// `30`, `1m30s`, `2h`: the times of `sshd_config(5)`.
fn seconds(text: &str) -> Option<Duration> {
    let mut total = 0u64;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    if !digits.is_empty() {
        total = total.checked_add(digits.parse().ok()?)?;
    }
    (!text.is_empty()).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests;
