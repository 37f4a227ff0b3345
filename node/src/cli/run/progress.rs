//! What is going on: a moving line on a terminal, plain lines elsewhere; always on standard error.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::clean;

/// Shared by everything that writes while something is shown.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    said: Mutex<BTreeMap<String, String>>,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            quiet,
            said: Mutex::default(),
        }
    }

    /// Says where a pod is, if that has changed. What soon changes again is not left standing on a terminal.
    pub fn state(&self, of: &str, text: &str, passing: bool) {
        {
            let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if said.insert(of.to_owned(), text.to_owned()).as_deref() == Some(text) {
                return;
            }
        }
        let line = format!("{of}: {text}");
        match &self.bar {
            Some(bar) if passing => bar.set_message(clean(&line)),
            _ => self.line(&line),
        }
    }

    /// Says something that stays.
    pub fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(clean(text)),
            None => eprintln!("{}", clean(text)),
        }
    }

    /// Says something that has to be said in any case.
    pub fn warning(&self, text: &str) {
        self.around(|| eprintln!("{}", clean(text)));
    }

    /// Does something that writes to the terminal by itself.
    pub fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// The moving line shows how long it takes; without one there is nothing to show.
    pub fn moving(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(clean(text));
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
