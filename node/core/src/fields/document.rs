//! `docs/pods.md`, made from the table, so that it cannot say anything else than the program does.

use super::life;
use super::table::{CONTAINER, Decision, POD, Row, VOLUMES};

const HEAD: &str = include_str!("pods.md");

/// The unit test over all rows that refuse something.
const REFUSALS: &str = "each_refusal_is_told";

/// The text of `docs/pods.md`.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for (title, rows) in [
        ("The pod", POD),
        ("Containers and init containers", CONTAINER),
        ("Hooks", life::LIFECYCLE),
        ("Startup probes", life::STARTUP),
        ("Liveness probes", life::LIVENESS),
        ("Readiness probes", life::READINESS),
        ("Volumes", VOLUMES),
    ] {
        text.push_str(&format!(
            "\n## {title}\n\n| field | | how, or why not | shown by |\n|---|---|---|---|\n"
        ));
        rows.iter().for_each(|row| text.push_str(&line(row)));
    }
    text
}

fn line(row: &Row) -> String {
    let decision = match row.decision {
        Decision::Honoured => "honoured".to_owned(),
        Decision::InPart => "in part".to_owned(),
        Decision::Only(values) => {
            let values: Vec<String> = values
                .iter()
                .filter(|value| !value.is_empty())
                .map(|value| format!("`{value}`"))
                .collect();
            format!("only {}", values.join(", "))
        }
        Decision::Refused => "refused".to_owned(),
        Decision::Meaningless => "means nothing here".to_owned(),
    };
    let path = row.path.strip_suffix(".**").unwrap_or(row.path);
    let test = if row.decision == Decision::Refused {
        REFUSALS
    } else {
        row.test
    };
    format!("| `{path}` | {decision} | {} | {} |\n", row.why, test.replace('_', " "))
}

/// A test: a page of the documentation is what is made now. `TOWLINE_WRITE_EXPECTED` writes it anew.
#[cfg(test)]
pub fn same_as_file(path: &str, made: &str) {
    let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    if std::env::var_os("TOWLINE_WRITE_EXPECTED").is_some() {
        std::fs::write(&file, made).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == made,
        "{path} is not what the program says; TOWLINE_WRITE_EXPECTED=1 cargo test -p towline-core documentation writes it anew"
    );
}
