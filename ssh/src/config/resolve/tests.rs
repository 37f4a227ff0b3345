use super::*;

fn context(text: &str) -> Context {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, text).unwrap();
    Context {
        lines: lines::read(&file, Path::new("/home/me"), false).unwrap(),
        home: PathBuf::from("/home/me"),
        user: "me".to_owned(),
        agent: Some(PathBuf::from("/run/agent")),
    }
}

fn settings(text: &str, target: &str) -> Settings {
    all(text, target).hops.pop().unwrap()
}

fn all(text: &str, target: &str) -> Resolved {
    resolve_in(&context(text), &Target::parse(target).unwrap()).unwrap()
}

#[test]
fn without_configuration_the_defaults_of_openssh_hold() {
    let got = settings("", "login");
    assert_eq!((got.host.as_str(), got.port, got.user.as_str()), ("login", 22, "me"));
    assert_eq!(got.identity_files, None);
    assert_eq!(got.agent, Some(PathBuf::from("/run/agent")));
    assert_eq!(got.user_known_hosts[0], Path::new("/home/me/.ssh/known_hosts"));
    assert_eq!(
        (got.alive_interval, got.alive_count),
        (Some(Duration::from_secs(15)), 3)
    );
}

#[test]
fn the_first_value_wins_and_the_target_wins_over_all() {
    let text = "Host hpc\n User alice\n User eve\n Port 2222\n HostName login.%h.org\nHost *\n User bob\n Port 22\n";
    let got = settings(text, "hpc");
    assert_eq!(
        (got.host.as_str(), got.port, got.user.as_str()),
        ("login.hpc.org", 2222, "alice")
    );
    let got = settings(text, "carol@hpc:7");
    assert_eq!((got.port, got.user.as_str()), (7, "carol"));
    assert_eq!(settings(text, "other").user, "bob");
}

#[test]
fn patterns_and_their_negations_choose_blocks() {
    let text = "Host *.org !bad.org\n User a\nHost bad.org\n User b\n";
    assert_eq!(settings(text, "x.org").user, "a");
    assert_eq!(settings(text, "bad.org").user, "b");
}

#[test]
fn a_match_block_holds_for_what_it_names_and_for_nothing_else() {
    let text = "Host a\n HostName a.site\nMatch host *.site user me\n Port 1\nMatch originalhost b !user root\n Port 2\nMatch exec true\n Port 3\nMatch all\n Port 4\n";
    assert_eq!(settings(text, "a").port, 1);
    assert_eq!(settings(text, "eve@a").port, 4);
    assert_eq!(settings(text, "b").port, 2);
    assert_eq!(settings(text, "root@b").port, 4);
    assert!(
        all(text, "c").notes[0].contains("Match exec"),
        "{:?}",
        all(text, "c").notes
    );
}

#[test]
fn files_add_up_and_tokens_are_expanded() {
    let text = "Host a\n IdentityFile ~/.ssh/%n_%r\n CertificateFile /c1\n CertificateFile /c2\n IdentityAgent none\nHost *\n IdentityFile %d/k\n UserKnownHostsFile /k1 ~/k2\n GlobalKnownHostsFile none\n IdentitiesOnly yes\n HostKeyAlias cluster\n";
    let got = settings(text, "a");
    let files = got.identity_files.unwrap();
    assert_eq!(files, [Path::new("/home/me/.ssh/a_me"), Path::new("/home/me/k")]);
    assert_eq!(got.certificate_files, [Path::new("/c1"), Path::new("/c2")]);
    assert_eq!(got.user_known_hosts, [Path::new("/k1"), Path::new("/home/me/k2")]);
    assert!(got.global_known_hosts.is_empty() && got.agent.is_none() && got.identities_only);
    assert_eq!(got.host_key_alias.as_deref(), Some("cluster"));
}

#[test]
fn jumps_are_followed_over_several_hosts_each_with_its_own_settings() {
    let text = "Host inner\n ProxyJump gate\nHost gate\n User g\n ProxyJump bob@outer:2200\nHost far\n ProxyJump one,two\nHost one\n ProxyJump outer\nHost two\n ProxyJump none\n";
    let way = |target| {
        let hops = all(text, target).hops;
        hops.iter()
            .map(|hop| format!("{}@{}:{}", hop.user, hop.host, hop.port))
            .collect::<Vec<_>>()
    };
    assert_eq!(way("inner"), ["bob@outer:2200", "g@gate:22", "me@inner:22"]);
    assert_eq!(way("far"), ["me@outer:22", "me@one:22", "me@two:22", "me@far:22"]);
}

#[test]
fn a_circle_of_jumps_and_a_proxy_command_are_refused() {
    let refused = |text: &str| resolve_in(&context(text), &Target::parse("a").unwrap()).unwrap_err();
    assert!(
        refused("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
            .to_string()
            .contains("circle")
    );
    let error = refused("Host a\n ProxyCommand nc %h %p\n");
    assert!(
        error.is_permanent() && error.to_string().contains("ProxyJump"),
        "{error}"
    );
}

#[test]
fn a_line_of_another_host_breaks_nothing_and_a_wrong_one_is_named() {
    let text = "Frobnicate yes\nHost b\n Port many\n";
    assert_eq!(settings(text, "a").port, 22);
    let error = resolve_in(&context(text), &Target::parse("b").unwrap()).unwrap_err();
    assert!(error.to_string().contains("config:3"), "{error}");
}

#[test]
fn what_is_not_followed_is_said() {
    let notes = all(
        "StrictHostKeyChecking no\nCanonicalizeHostname yes\nBatchMode yes\n",
        "a",
    )
    .notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
}

#[test]
fn times_are_read_as_sshd_reads_them() {
    assert_eq!(seconds("90"), Some(Duration::from_secs(90)));
    assert_eq!(seconds("1m30s"), Some(Duration::from_secs(90)));
    assert_eq!((seconds(""), seconds("x"), seconds("5y")), (None, None, None));
}
