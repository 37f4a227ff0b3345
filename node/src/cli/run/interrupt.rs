//! Ctrl-C and TERM: the first cancels, the second forces, the third leaves.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::code;

/// What was asked for so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// How often.
    pub times: u32,
    /// The exit code that goes with the first.
    pub code: u8,
}

/// Listens from now on.
///
/// # Errors
/// The system does not let us.
pub fn listen() -> anyhow::Result<watch::Receiver<Asked>> {
    let failed = "failed to listen for signals";
    let mut interrupted = signal(SignalKind::interrupt()).context(failed)?;
    let mut terminated = signal(SignalKind::terminate()).context(failed)?;
    let (told, asked) = watch::channel(Asked::default());
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupted.recv() => code::CANCELLED,
                _ = terminated.recv() => code::TERMINATED,
            };
            told.send_modify(|asked| {
                asked.times += 1;
                if asked.times == 1 {
                    asked.code = code;
                }
            });
            if told.borrow().times >= 3 {
                eprintln!("leaving; what still runs is shown by `towline ps` and ended by `towline cancel`");
                std::process::exit(i32::from(told.borrow().code));
            }
        }
    });
    Ok(asked)
}
