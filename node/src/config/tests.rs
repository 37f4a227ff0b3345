//! The configuration as users meet it: layers, sources, messages, documents.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};

use super::effective::{Effective, load_with};
use super::flags::{Flags, PLACES, TARGET, variable};
use super::path::Place;
use super::tree::Source;
use super::{markdown, schema};

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn flags(line: &str) -> Flags {
    Line::try_parse_from(line.split_whitespace()).unwrap().flags
}

/// What holds with this file (none if it is empty), environment and command line.
fn load(file: &str, variables: &[(&str, &str)], line: &str) -> anyhow::Result<Effective> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.yaml");
    let mut flags = flags(line);
    if !file.is_empty() {
        std::fs::write(&path, file).unwrap();
        flags.config = Some(path.to_str().unwrap().to_owned());
    }
    let variables: BTreeMap<_, _> = [("HOME", "/home/alice")]
        .into_iter()
        .chain(variables.iter().copied())
        .collect();
    load_with(&flags, &|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn fails(file: &str, variables: &[(&str, &str)], line: &str) -> String {
    match load(file, variables, line) {
        Ok(effective) => panic!("it was taken:\n{}", effective.to_yaml()),
        Err(error) => format!("{error:#}"),
    }
}

impl Effective {
    fn source(&self, place: &str) -> &Source {
        self.tree().source_of(&Place::from(place))
    }
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compares with a file of the repository, or writes it if `TOWLINE_WRITE_EXPECTED` is set.
fn same_as_file(path: &str, text: &str) {
    let path = repository(path);
    if std::env::var_os("TOWLINE_WRITE_EXPECTED").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{} is not what is made now; TOWLINE_WRITE_EXPECTED=1 writes it anew. Made now:\n{text}",
        path.display()
    );
}

#[test]
fn a_target_is_enough() {
    let effective = load("", &[], "alice@login.example.org").unwrap();
    let config = &effective.config;
    assert_eq!(config.target.as_deref(), Some("alice@login.example.org"));
    assert_eq!(config.nodes.len(), 1);
    assert_eq!(config.nodes[0].name, "login.example.org");
    assert_eq!(config.nodes[0].partition, None);
    assert_eq!(config.nodes[0].taints, None);
    assert_eq!(config.nodes[0].gpu_resource.as_str(), "nvidia.com/gpu");
    assert_eq!(config.cluster.agent, "login.example.org");
    assert_eq!((config.cluster.batch(), config.cluster.runtime()), (None, None));
    assert_eq!(config.kubelet.port, 10250);
    assert_eq!(
        config.kubernetes.state_dir,
        PathBuf::from("/home/alice/.local/state/towline")
    );
    assert_eq!(effective.source("target").to_string(), "command line TARGET");
    assert_eq!(
        effective.source("cluster.agent").to_string(),
        "derived from the first node's name"
    );
}

#[test]
fn nothing_at_all_can_still_be_printed() {
    let config = load("", &[], "").unwrap().config;
    assert_eq!((config.target, config.nodes[0].name.as_str()), (None, "towline"));
}

#[test]
fn nodes_are_named_after_the_target() {
    for (target, name) in [
        ("hpc1", "hpc1"),
        ("Bob@Login.Site", "login.site"),
        ("alice@10.0.0.7:22", "towline-10-0-0-7"),
        ("[fe80::1]:22", "towline-fe80--1"),
        ("my_cluster", "my-cluster"),
        ("___", "towline"),
    ] {
        assert_eq!(load("", &[], target).unwrap().config.nodes[0].name, name, "{target}");
    }
}

#[test]
fn the_command_line_is_stronger_than_the_environment_and_that_than_the_file() {
    let file = "target: file\nkubelet:\n  port: 1\nimages: {plainHTTP: [a, b]}\ncluster: {root: /file}\n";
    let variables = [
        ("TOWLINE_TARGET", "environment"),
        ("TOWLINE_PORT", "2"),
        ("TOWLINE_PLAIN_HTTP", "c d"),
    ];
    let effective = load(file, &variables, "--port 3").unwrap();
    let config = &effective.config;
    assert_eq!(config.target.as_deref(), Some("environment"));
    assert_eq!(config.kubelet.port, 3);
    assert_eq!(config.images.plain_http, ["c", "d"]);
    assert_eq!(config.cluster.root, "/file");
    assert_eq!(effective.source("target").to_string(), "environment TOWLINE_TARGET");
    assert_eq!(effective.source("kubelet.port").to_string(), "command line --port");
    assert!(effective.source("cluster.root").to_string().ends_with("site.yaml:5"));
    assert_eq!(effective.source("cluster.queueInterval").to_string(), "default");
}

#[test]
fn a_flag_given_again_replaces_itself_and_a_list_grows() {
    let config = load("", &[], "login --name a --name b --plain-http x --plain-http y")
        .unwrap()
        .config;
    assert_eq!(config.nodes[0].name, "b");
    assert_eq!(config.images.plain_http, ["x", "y"]);
}

#[test]
fn each_partition_of_the_command_line_is_a_node() {
    let one = load("", &[], "login --partition gpu").unwrap().config;
    assert_eq!((one.nodes.len(), one.nodes[0].name.as_str()), (1, "login"));
    let file = "nodeDefaults: {qos: high}\nnodes: [{name: x, partition: y}]";
    let two = load(
        file,
        &[],
        "login --partition gpu --partition Long_jobs --name hpc --account p",
    )
    .unwrap()
    .config;
    let names: Vec<_> = two.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["hpc-gpu", "hpc-long-jobs"]);
    assert_eq!(two.cluster.agent, "hpc-gpu");
    for node in &two.nodes {
        assert_eq!(
            (node.qos.as_deref(), node.account.as_deref()),
            (Some("high"), Some("p"))
        );
    }
}

#[test]
fn what_holds_for_all_nodes_is_weaker_than_what_a_node_says_and_that_than_the_command_line() {
    let file = "
nodeDefaults: {account: a, qos: a, labels: {x: a, y: a, z: a}, taints: [{key: a, effect: NoExecute}]}
nodes:
- {name: one, account: b, labels: {y: b, z: b}}
- {name: two, taints: []}
";
    let effective = load(file, &[("TOWLINE_QOS", "c")], "login --label z=c --label w=").unwrap();
    let [one, two] = effective.config.nodes.as_slice() else {
        panic!()
    };
    assert_eq!((one.account.as_deref(), one.qos.as_deref()), (Some("b"), Some("c")));
    let labels: Vec<_> = one.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(labels, ["w=", "x=a", "y=b", "z=c"]);
    assert_eq!(one.taints.as_ref().unwrap()[0].key, "a");
    assert_eq!(two.taints.as_deref(), Some([].as_slice()));
    assert_eq!(effective.config.cluster.agent, "one");
    assert!(effective.source("nodes").to_string().ends_with("site.yaml:3"));
}

#[test]
fn taints_of_the_command_line_replace_all_others() {
    let file = "nodes: [{name: n, taints: [{key: a, effect: NoExecute}]}]";
    let none = load(file, &[], "login --no-taint").unwrap().config;
    assert_eq!(none.nodes[0].taints.as_deref(), Some([].as_slice()));
    let own = load(
        file,
        &[("TOWLINE_NO_TAINT", "true")],
        "login --taint k=v:NoSchedule --taint example.org/x:PreferNoSchedule",
    );
    let own = own.unwrap().config.nodes[0].taints.clone().unwrap();
    assert_eq!(
        (own[0].key.as_str(), own[0].value.as_deref(), own[0].effect.as_str()),
        ("k", Some("v"), "NoSchedule")
    );
    assert_eq!((own[1].key.as_str(), own[1].value.as_deref()), ("example.org/x", None));
}

#[test]
fn a_key_without_a_value_is_not_there() {
    let file = "target: login\nnodes:\nkubelet:\n  port:\n  address: null\ncluster: ~\n";
    let config = load(file, &[], "").unwrap().config;
    assert_eq!(
        (config.kubelet.port, config.kubelet.address, config.nodes.len()),
        (10250, None, 1)
    );
    assert!(load("# nothing\n", &[], "login").is_ok());
}

#[test]
fn paths_begin_where_the_file_lies_or_at_home() {
    let file = "ssh: {configFile: ssh/config, identityFiles: [~/.ssh/a, /b]}";
    let config = load(file, &[], "login --state-dir state").unwrap().config;
    let path = config.ssh.config_file.unwrap();
    assert!(path.is_absolute() && path.ends_with("ssh/config"), "{}", path.display());
    assert_eq!(
        config.ssh.identity_files,
        [PathBuf::from("/home/alice/.ssh/a"), PathBuf::from("/b")]
    );
    assert_eq!(config.kubernetes.state_dir, PathBuf::from("state"));
    let state = load("", &[("XDG_STATE_HOME", "/s")], "login").unwrap();
    assert_eq!(state.config.kubernetes.state_dir, PathBuf::from("/s/towline"));
    assert_eq!(
        state.source("kubernetes.stateDir").to_string(),
        "environment XDG_STATE_HOME"
    );
}

#[test]
fn numbers_are_taken_where_quantities_are() {
    let file =
        "nodes: [{name: n, capacity: {cpu: 64, memory: 1.5Gi}, defaults: {cpu: 500m, memory: 100M, walltime: 2h}}]";
    let node = load(file, &[], "login").unwrap().config.nodes[0].clone();
    assert_eq!(node.capacity["cpu"].as_str(), "64");
    assert_eq!((node.defaults.cpu.whole(), node.defaults.memory.mib()), (1, 96));
    assert_eq!(node.defaults.walltime.unwrap().get().as_secs(), 7200);
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_line_key_and_what_would_be_right() {
    for (file, expected) in [
        (
            "kubelet:\n  prot: 1",
            &["site.yaml:2: kubelet.prot: there is no such key: did you mean kubelet.port?"][..],
        ),
        (
            "nodes:\n- name: a\n- name: b\n  partion: x",
            &[":4: nodes[1].partion: ", "did you mean nodes[1].partition?"],
        ),
        ("plain_http: [a]", &[":1: ", "did you mean images.plainHTTP?"]),
        (
            "nodes: [{taints: [{key: a, efect: NoExecute}]}]",
            &["did you mean nodes[0].taints[0].effect?", "the key effect is missing"],
        ),
        (
            "nodeDefaults: {name: a}",
            &["nodeDefaults.name: there is no such key: did you mean nodes.name?"],
        ),
        (
            "nodeDefaults: {policy: {annotations: [partitoin], hostPaths: [{path: scratch}], values: {nodes: ['many']}, clusterDomain: ''}}",
            &[
                "policy.annotations[0]: there is no annotation \"partitoin\"",
                "policy.hostPaths[0].path: \"scratch\" is no directory of the cluster",
                "policy.values.nodes[0]: nodes \"many\"",
                "policy.clusterDomain: \"\" is no domain",
            ],
        ),
        (
            "nodeDefaults: {defaultFlavour: big, flavours: [{name: a, settings: {queue: x}}], policy: {volumes: [{from: a, to: /b}], gres: {fpga: fpga}, runtimeClasses: {a: 'x y'}}}",
            &[
                "there is no flavour \"big\"; there are: a",
                "there is no annotation \"queue\"",
                "\"a\" is no source of a volume",
                "\"fpga\" is no extended resource",
                "\"x y\" is no name of a container runtime",
            ],
        ),
        (
            "ssh: {zzz: 1}",
            &["there is no such key: there are configFile, identityFiles"],
        ),
        (
            "kubelet: {port: 70000}",
            &["kubelet.port: expected a whole number from 0 to 65535, found 70000"],
        ),
        ("kubelet: {port: many}", &["expected a whole number", "found \"many\""]),
        ("kubelet: [1]", &["kubelet: expected a map of keys, found a list"]),
        (
            "kubelet: {servingCertificate: CSR}",
            &["expected one of csr, selfSigned, files, found \"CSR\""],
        ),
        (
            "ssh: {acceptNewHostKey: yes}",
            &["expected true or false, found \"yes\""],
        ),
        (
            "ssh: {streamConnections: 0}",
            &["ssh.streamConnections: without a connection there are no logs"],
        ),
        ("nodes: {name: a}", &["nodes: expected a list"]),
        (
            "nodes: [{account: 12}]",
            &["nodes[0].account: expected text, found 12: write it in quotes"],
        ),
        (
            "nodes: [{labels: {a: true}}]",
            &["nodes[0].labels.a: expected text, found true: write it in quotes"],
        ),
        (
            "cluster: {queueInterval: 30}",
            &["expected a duration (30s, 1h30m, 1-00:00:00), found 30"],
        ),
        (
            "cluster:\n  queueInterval: '30'",
            &[":2: cluster.queueInterval: \"30\" is not a duration"],
        ),
        (
            "cluster: {queueInterval: 10ms}",
            &["cluster.queueInterval: 10ms is too often", "at least 5s"],
        ),
        (
            "nodes: [{capacity: {cpu: lots}}]",
            &["nodes[0].capacity.cpu: \"lots\" is not a quantity"],
        ),
        (
            "nodes: [{capacity: {nvidia.com/gpu: 500m}}]",
            &["[\"nvidia.com/gpu\"]: ", "whole ones"],
        ),
        ("nodes: [{capacity: {pods: 5}}]", &["use maxPods"]),
        ("nodes: [{capacity: {gpus: 5}}]", &["\"gpus\" is no resource"]),
        ("kubelet: {address: login}", &["kubelet.address: invalid IP address"]),
        ("kubelet: {address: 0.0.0.0}", &["nobody can reach 0.0.0.0"]),
        ("target: 'a b'", &["site.yaml:1: target: \"a b\" is not a target"]),
        (
            "cluster: {agent: A/b}",
            &["cluster.agent: \"A/b\" cannot be an agent's name"],
        ),
        ("cluster: {root: work}", &["begin with / or ~/"]),
        (
            "cluster: {batch: ../x}",
            &["there is no batch system \"../x\": there are host, slurm"],
        ),
        (
            "images: {pullProgressDeadline: 2s}",
            &["images.pullProgressDeadline: ", "at least 5s"],
        ),
        (
            "images: {plainHTTP: ['http://a']}",
            &["images.plainHTTP[0]: ", "without http://"],
        ),
        (
            "images: {rewrites: [{from: '', to: b}]}",
            &["images.rewrites[0].from: "],
        ),
        (
            "images: {rewrites: [{from: a, to: b, mirrors: ['c d']}]}",
            &["images.rewrites[0].mirrors[0]: "],
        ),
        ("images: {reducedSize: 1Gi}", &["images.reducedSize: ", "maxSize"]),
        (
            "images: {maxSize: 1Gi, reducedSize: 2Gi}",
            &["images.reducedSize: ", "maxSize"],
        ),
        (
            "images: {rewrites: [{from: a}]}",
            &["images.rewrites[0]: the key to is missing"],
        ),
        (
            "kubernetes: {clientCertificate: a, kubeconfig: k}",
            &["kubernetes.clientKey is missing"],
        ),
        (
            "kubernetes: {clientCertificate: a, clientKey: b}",
            &["kubernetes.kubeconfig has to say"],
        ),
        (
            "kubernetes: {bootstrapKubeconfig: a, context: b}",
            &["kubernetes.context: ", "leave one of them out"],
        ),
        (
            "kubelet: {servingCertificate: files}",
            &["kubelet.certificateFile and kubelet.keyFile"],
        ),
        (
            "kubelet: {keyFile: a}",
            &["kubelet.keyFile: it is used with kubelet.servingCertificate: files only"],
        ),
        (
            "nodes: [{name: A_b}]",
            &["nodes[0].name: \"A_b\" cannot be a node's name"],
        ),
        (
            "nodes: [{name: a}, {name: a}]",
            &["nodes[1].name: nodes[0] is called \"a\" as well"],
        ),
        (
            "nodes: [{partition: 'a b'}]",
            &["nodes[0].partition: the value \"a b\" cannot be given to a batch system"],
        ),
        (
            "nodes: [{labels: {'a b': c}}]",
            &["nodes[0].labels[\"a b\"]: \"a b\" is no key"],
        ),
        ("nodes: [{labels: {a: 'b c'}}]", &["\"b c\" is no value of a label"]),
        (
            "nodes: [{labels: {kubernetes.io/role: x}}]",
            &["use a prefix of your own"],
        ),
        (
            "nodes: [{taints: [{key: a, effect: Never}]}]",
            &["expected one of NoSchedule, PreferNoSchedule, NoExecute"],
        ),
        (
            "nodes: [{defaults: {walltime: 3h}, maxWalltime: 2h}]",
            &["nodes[0].defaults.walltime: 3h is more than maxWalltime, 2h"],
        ),
        ("nodes: [{maxPods: 0}]", &["nodes[0].maxPods"]),
        ("a: b: c", &["is not YAML", "site.yaml", "line 1"]),
        ("target: a\ntarget: b", &["is not YAML", "duplicate", "line 2"]),
        ("[a]", &["site.yaml:1: the configuration has to be a map of keys"]),
    ] {
        let message = fails(file, &[], "");
        for part in expected {
            assert!(message.contains(part), "{file}\n  says: {message}\n  and not: {part}");
        }
    }
}

#[test]
fn what_is_wrong_elsewhere_is_said_with_its_flag_or_variable() {
    for (file, variables, line, expected) in [
        (
            "",
            &[][..],
            "login --port x",
            "command line --port: kubelet.port: expected a whole number from 0 to 65535",
        ),
        (
            "",
            &[("TOWLINE_PORT", "tcp://10.0.0.1:443")],
            "login",
            "environment TOWLINE_PORT: kubelet.port: expected",
        ),
        (
            "",
            &[("TOWLINE_ACCEPT_NEW_HOST_KEY", "maybe")],
            "login",
            "expected true or false, found \"maybe\"",
        ),
        (
            "",
            &[("TOWLINE_NO_TAINT", "maybe")],
            "login",
            "environment TOWLINE_NO_TAINT: nodes.taints: expected true",
        ),
        (
            "",
            &[],
            "login --taint a:Never",
            "command line --taint: nodes.taints[0].effect: expected one of NoSchedule",
        ),
        (
            "",
            &[],
            "login --taint a",
            "\"a\" is no taint: write KEY[=VALUE]:EFFECT",
        ),
        ("", &[], "login --label a", "\"a\" is no label: write KEY=VALUE"),
        (
            "",
            &[],
            "login --account=-x",
            "command line --account: nodes[0].account: the value \"-x\" cannot",
        ),
        ("", &[], "login --name=-", "command line --name: nodes[0].name"),
        (
            "nodes: [{name: a}, {name: b}]",
            &[],
            "login --name c",
            "one name cannot be given to several nodes",
        ),
    ] {
        let message = fails(file, variables, line);
        assert!(
            message.contains(expected),
            "{line}\n  says: {message}\n  and not: {expected}"
        );
    }
    let missing = fails("", &[("TOWLINE_CONFIG", "/nowhere/site.yaml")], "login");
    assert!(
        missing.contains("failed to read the configuration /nowhere/site.yaml"),
        "{missing}"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let message = fails(
        "kubelet: {prot: 1, address: 5}\nnodes: [{labels: [a]}]",
        &[],
        "login --port x",
    );
    assert!(
        message.starts_with("the configuration cannot be used, 4 things are wrong:\n"),
        "{message}"
    );
}

#[test]
fn each_flag_has_a_place_and_a_variable_of_its_own() {
    let command = Line::command();
    for argument in command.get_arguments().filter(|argument| argument.get_id() != "config") {
        let flag = argument.get_long().unwrap_or(TARGET);
        assert!(PLACES.iter().any(|(name, _)| *name == flag), "--{flag} has no place");
        let line = match (flag, argument.get_action().takes_values()) {
            (TARGET, _) => "login".to_owned(),
            (_, true) => format!("--{flag} 1"),
            (_, false) => format!("--{flag}"),
        };
        let given = flags(&line).given();
        assert_eq!(given.len(), 1, "--{flag} is lost");
        assert_eq!(given[0].0, flag);
    }
    assert_eq!(variable("ssh-config"), "TOWLINE_SSH_CONFIG");
}

#[test]
fn what_is_printed_is_known_byte_for_byte() {
    let line = "--config src/config/tests/site.yaml --address 192.0.2.7 --label example.org/by=hand";
    let variables = BTreeMap::from([("HOME", "/home/alice"), ("TOWLINE_RUNTIME", "apptainer")]);
    let effective = load_with(&flags(line), &|name| {
        variables.get(name).map(|value| (*value).to_owned())
    })
    .unwrap();
    // Relative paths of the file have become absolute ones.
    let here = format!("{}/src/config/tests", env!("CARGO_MANIFEST_DIR"));
    same_as_file(
        "node/src/config/tests/effective.yaml",
        &effective.to_yaml().replace(&here, "HERE"),
    );
    let json = serde_json::to_string_pretty(&effective.to_json()).unwrap() + "\n";
    same_as_file("node/src/config/tests/effective.json", &json.replace(&here, "HERE"));

    let again = load(&effective.to_yaml(), &[], "").unwrap();
    assert_eq!(
        again.config, effective.config,
        "what is printed is a file that means the same"
    );
}

#[test]
fn the_documentation_is_what_the_schema_says() {
    same_as_file("docs/configuration.md", &markdown());
}

#[test]
fn every_example_of_the_documentation_can_be_used() {
    for page in ["docs/configuration.md", "deploy/README.md"] {
        let text = std::fs::read_to_string(repository(page)).unwrap();
        let blocks = text.split("```yaml\n").skip(1);
        let examples: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty(), "{page}");
        for example in examples {
            load(example, &[], "").unwrap();
        }
    }
}

#[test]
fn the_deployment_runs_with_the_configuration_that_it_brings() {
    let text = std::fs::read_to_string(repository("deploy/deployment.yaml")).unwrap();
    let [map, deployment] = serde_saphyr::from_multiple::<serde_json::Value>(&text)
        .unwrap()
        .try_into()
        .unwrap();
    let file = map["data"]["config.yaml"].as_str().unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let words = |list: &serde_json::Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let variables: Vec<String> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["name"].as_str().unwrap().to_owned())
        .collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "192.0.2.9")).collect();
    let config = load(file, &variables, "").unwrap().config;
    assert_eq!(config.kubelet.address.unwrap().to_string(), "192.0.2.9");
    assert_eq!(container["ports"][0]["containerPort"], config.kubelet.port);
    assert_eq!(words(&container["args"])[..2], ["node", "--config"]);
    Line::try_parse_from(words(&container["args"]).into_iter().skip(1)).unwrap();
}

#[test]
fn every_key_is_explained_and_its_default_known() {
    fn visit(part: &serde_json::Value, path: &str) {
        for (key, below) in super::schema::properties(part).into_iter().flatten() {
            let path = format!("{path}.{key}");
            let described = below["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{path} is not explained");
            let inner = if super::schema::is(below, "array") {
                &below["items"]
            } else {
                below
            };
            let group = super::schema::properties(inner).is_some();
            let known = below.get("default").is_some() || below.get("x-default").is_some();
            let required = part["required"]
                .as_array()
                .is_some_and(|keys| keys.contains(&key.as_str().into()));
            assert!(
                group || known || required,
                "{path} has no default: say in words what its absence means"
            );
            visit(inner, &path);
        }
    }
    visit(&schema(), "");
}
