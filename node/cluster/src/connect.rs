//! The way to a connected cluster: find out where we are, bring the scripts there, make the agent's directories.

use std::sync::Arc;
use std::time::Duration;

use towline_core::naming;
use towline_core::protocol::{BadAnswer, rows};
use towline_ssh::{Command, Remote};

use crate::call::{SHORT, answer};
use crate::cluster::{Cluster, Inner, Options};
use crate::error::Error;

/// What is sent before there are any scripts: the text itself is the argument of a shell.
const FIND: &str = include_str!("../../../remote-scripts/connect/find");
const TAKE: &str = include_str!("../../../remote-scripts/connect/take");

/// How long the upload of the scripts may take, over a slow line onto a slow file system.
const UPLOAD: Duration = Duration::from_secs(300);

/// The answer of `connect/find`.
struct Found {
    root: String,
    batch: String,
    /// Whose directory it is; `None`: the scripts are not there yet, or not whole.
    owner: Option<String>,
}

impl Cluster {
    /// Connects: one round trip if this version of the scripts has been there before, else the upload and one more.
    ///
    /// # Errors
    /// [`Error::Owned`] if the agent's directory belongs to somebody else, [`Error::Invalid`] for options that cannot
    /// be, and whatever stops the calls; see [`Error`]. All of it can be done again.
    pub async fn connect(remote: Arc<dyn Remote>, options: Options) -> Result<Self, Error> {
        naming::agent(&options.agent).map_err(Error::Invalid)?;
        if options.owner.is_empty() || options.owner.contains(char::is_control) {
            return Err(Error::Invalid(format!(
                "{:?} cannot be an owner: it is one line of text",
                options.owner
            )));
        }
        if let Some(batch) = &options.batch {
            options.scripts.expect_batch(batch)?;
        }
        let mut found = find(&*remote, &options).await?;
        if found.owner.is_none() {
            upload(&*remote, &options, &found.root).await?;
            found = find(&*remote, &options).await?;
        }
        let directory = format!("{}/agents/{}", found.root, options.agent);
        match found.owner {
            Some(owner) if owner == options.owner => {}
            Some(owner) => {
                return Err(Error::Owned {
                    host: remote.name(),
                    agent: options.agent,
                    directory,
                    owner,
                    we: options.owner,
                });
            }
            None => {
                return Err(Error::Invalid(format!(
                    "the scripts that were just written to {} on {} are not there or have been changed: is another program writing there, or is the file system not the same from one login to the next?",
                    options.scripts.directory(&found.root),
                    remote.name()
                )));
            }
        }
        Ok(Self(Arc::new(Inner {
            scripts: options.scripts.directory(&found.root),
            agent: options.agent.clone(),
            root: found.root,
            batch: found.batch,
            remote,
            options,
            detours: Arc::default(),
        })))
    }

    /// Puts the scripts back, where somebody has taken them away meanwhile. True if they were not there or not whole.
    pub(crate) async fn restore(&self) -> Result<bool, Error> {
        let (remote, options) = (&**self.remote(), &self.0.options);
        let gone = find(remote, options).await?.owner.is_none();
        if gone {
            tracing::warn!(directory = self.scripts(), "the scripts are gone, bringing them back");
            upload(remote, options, self.root()).await?;
        }
        Ok(gone)
    }
}

async fn find(remote: &dyn Remote, options: &Options) -> Result<Found, Error> {
    let command = Command::new("/bin/sh").args(["-c", FIND, "connect/find"]).args([
        options.root.as_deref().unwrap_or_default(),
        options.batch.as_deref().unwrap_or_default(),
        options.scripts.hash(),
        &options.agent,
        &options.owner,
    ]);
    let output = remote.shell(command.timeout(SHORT)).await?;
    answer("look at the account", &remote.name(), &output, |text| {
        let all = rows(text)?;
        let value = |kind: &str| all.iter().find(|row| row.kind() == kind).map(|row| row.rest(1));
        let needed = |kind: &str| {
            value(kind).ok_or_else(|| BadAnswer::Row {
                row: kind.to_owned(),
                why: "the answer has no such row".to_owned(),
            })
        };
        Ok(Found {
            root: needed("root")?,
            batch: needed("batch")?,
            owner: value("owner"),
        })
    })
}

async fn upload(remote: &dyn Remote, options: &Options, root: &str) -> Result<(), Error> {
    tracing::debug!(hash = options.scripts.hash(), root, "uploading the scripts");
    let command = Command::new("/bin/sh")
        .args(["-c", TAKE, "connect/take", root, options.scripts.hash()])
        .stdin(options.scripts.archive()?)
        .timeout(UPLOAD);
    let output = remote.run(command).await?;
    answer("upload the scripts", &remote.name(), &output, |text| {
        rows(text).map(drop)
    })
}
