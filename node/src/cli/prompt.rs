//! Passphrases and codes, asked on the terminal.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use async_trait::async_trait;
use towline_ssh::Prompt;

/// The terminal, if there is one to ask on.
pub fn terminal() -> Option<Arc<dyn Prompt>> {
    let there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    there.then(|| Arc::new(Terminal) as Arc<dyn Prompt>)
}

struct Terminal;

#[async_trait]
impl Prompt for Terminal {
    async fn secret(&self, what: &str) -> Option<String> {
        let what = format!("{what} ");
        ask(move || rpassword::prompt_password(what)).await
    }

    async fn visible(&self, what: &str) -> Option<String> {
        let what = format!("{what} ");
        ask(move || {
            let mut stderr = std::io::stderr();
            stderr.write_all(what.as_bytes())?;
            stderr.flush()?;
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            Ok(line)
        })
        .await
    }
}

async fn ask(read: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Option<String> {
    let line = tokio::task::spawn_blocking(read).await.ok()?.ok()?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}
