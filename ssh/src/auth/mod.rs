//! Proving who we are: everything we have, against everything the host still takes.
//!
//! A loop and not a list, because a host may ask for several proofs one after the other (a key and then a code). The
//! number of keys that are offered is limited: a host hangs up after a few, and counts that as an attack.

mod identities;
mod signer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, HashAlg, PrivateKey};
use russh::{MethodKind, MethodSet};

use crate::client::{Client, describe};
use crate::config::Hop;
use crate::error::Error;
use crate::options::Prompt;
use identities::{Identity, Source};
use signer::{FileSigner, SignError};

/// OpenSSH servers hang up at the sixth failure (`MaxAuthTries`).
const MAX_OFFERS: usize = 5;

/// How often a person may mistype.
const MAX_ASKED: usize = 3;

/// What a person has answered already, kept in memory for the next connection.
#[derive(Default)]
pub struct Answers {
    keys: Mutex<HashMap<PathBuf, Arc<PrivateKey>>>,
    passwords: Mutex<HashMap<String, String>>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

impl Answers {
    fn key(&self, path: &PathBuf) -> Option<Arc<PrivateKey>> {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned()
    }

    fn keep_key(&self, path: PathBuf, key: Arc<PrivateKey>) {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, key);
    }

    fn password(&self, account: &str) -> Option<String> {
        self.passwords
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(account)
    }

    fn keep_password(&self, account: String, password: String) {
        self.passwords
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(account, password);
    }
}

/// How an account was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// It can be done again without a person.
    Silently,
    /// A person answered, and would have to answer again.
    ByPerson,
}

/// One authentication.
pub struct Login<'a> {
    pub(crate) handle: &'a mut Handle<Client>,
    pub(crate) hop: &'a Hop,
    pub(crate) prompt: Option<&'a Arc<dyn Prompt>>,
    pub(crate) answers: &'a Answers,
    pub(crate) log: Log,
}

/// What has been tried, for the error.
#[derive(Default)]
pub struct Log {
    offered: Vec<String>,
    hints: Vec<String>,
}

enum Step {
    Done,
    Refused(MethodSet),
    /// Nothing was sent, or nothing that counts.
    Skipped,
}

impl Login<'_> {
    /// Proves who we are.
    ///
    /// # Errors
    /// [`Error::Authentication`] says what was offered, what the host would take, and what to do. [`Error::Connect`] if
    /// the link was lost before anything was refused.
    pub async fn run(mut self) -> Result<Proven, Error> {
        let first = self.handle.authenticate_none(self.hop.user.clone()).await;
        let mut remaining = match self.outcome(first.map_err(|error| describe(&error)))? {
            Step::Done => return Ok(Proven::Silently),
            Step::Refused(methods) => methods,
            Step::Skipped => MethodSet::empty(),
        };
        let mut proven = Proven::Silently;
        let mut keys = None;
        let (mut offers, mut asked) = (0, 0);
        loop {
            let has = |kind| remaining.contains(&kind);
            let step = if has(MethodKind::PublicKey)
                && let Some(identity) = match &mut keys {
                    Some(keys) => keys,
                    None => keys.insert(self.identities().await),
                }
                .pop()
            {
                if offers >= MAX_OFFERS {
                    self.log.hints.push(format!(
                        "only {MAX_OFFERS} keys are offered, because hosts hang up after a few: name the right one with \
                         IdentityFile and set IdentitiesOnly yes"
                    ));
                    keys = Some(Vec::new());
                    continue;
                }
                offers += 1;
                self.offer(identity).await?
            } else if has(MethodKind::KeyboardInteractive) && asked < MAX_ASKED && self.prompt.is_some() {
                asked += 1;
                proven = Proven::ByPerson;
                self.converse().await?
            } else if has(MethodKind::Password) && asked < MAX_ASKED && self.prompt.is_some() {
                asked += 1;
                self.password(asked == 1).await?
            } else {
                return Err(self.refused(&remaining));
            };
            match step {
                Step::Done => return Ok(proven),
                Step::Refused(methods) => remaining = methods,
                Step::Skipped => {}
            }
        }
    }

    /// Identities, the last to be offered first.
    async fn identities(&mut self) -> Vec<Identity> {
        let mut list = identities::collect(self.hop, self.answers, &mut self.log.hints).await;
        list.reverse();
        list
    }

    fn outcome(&self, result: Result<AuthResult, String>) -> Result<Step, Error> {
        match result {
            Ok(AuthResult::Success) => Ok(Step::Done),
            // A set without methods is how the library says that the link is gone.
            Ok(AuthResult::Failure { remaining_methods, .. }) if !remaining_methods.is_empty() => {
                Ok(Step::Refused(remaining_methods))
            }
            Ok(AuthResult::Failure { .. }) => Err(self.hung_up("the host hung up")),
            Err(why) => Err(self.hung_up(&why)),
        }
    }

    fn hung_up(&self, why: &str) -> Error {
        let host = format!("{}:{}", self.hop.host, self.hop.port);
        if self.log.offered.is_empty() {
            return Error::Connect {
                host,
                why: format!("{why} before we could say who we are"),
            };
        }
        self.authentication(format!("{why} after it was offered {}", self.log.offered.join(", ")))
    }

    fn authentication(&self, mut why: String) -> Error {
        for hint in &self.log.hints {
            why.push_str("; ");
            why.push_str(hint);
        }
        Error::Authentication {
            host: format!("{}:{}", self.hop.host, self.hop.port),
            user: self.hop.user.clone(),
            why,
        }
    }

    fn refused(&mut self, remaining: &MethodSet) -> Error {
        let would_take: Vec<String> = remaining.iter().map(String::from).collect();
        let offered = if self.log.offered.is_empty() {
            "nothing was offered".to_owned()
        } else {
            format!("it was offered {}", self.log.offered.join(", "))
        };
        let person = remaining
            .iter()
            .any(|kind| matches!(kind, MethodKind::KeyboardInteractive | MethodKind::Password));
        if person && self.prompt.is_none() {
            let hint = "it would ask for a password or a code, and there is nobody to ask here";
            self.log.hints.push(hint.to_owned());
        }
        if self.log.offered.is_empty() && self.hop.agent.is_none() {
            self.log
                .hints
                .push("no ssh-agent is running (SSH_AUTH_SOCK)".to_owned());
        }
        self.authentication(format!(
            "{offered}; it would take {}; check the account's name and its authorized_keys",
            would_take.join(" or ")
        ))
    }

    async fn offer(&mut self, identity: Identity) -> Result<Step, Error> {
        let hash = match identity.algorithm() {
            Algorithm::Rsa { .. } => self.rsa_hash().await?,
            _ => None,
        };
        self.log.offered.push(identity.describe());
        tracing::debug!(host = self.hop.host, identity = identity.describe(), "offering");
        let result = match identity.source.clone() {
            Source::Agent(path) => match identities::agent(&path).await {
                Ok(mut agent) => {
                    if let Some(binding) = self.handle.agent_session_binding().cloned() {
                        // Agents that do not know this extension sign all the same.
                        let _ = agent.bind_session(&binding, false).await;
                    }
                    self.sign_with(&identity, hash, &mut agent).await
                }
                Err(why) => {
                    self.log.hints.push(why);
                    return Ok(Step::Skipped);
                }
            },
            Source::File(path) => {
                let mut signer = FileSigner {
                    path,
                    prompt: self.prompt.cloned(),
                    answers: self.answers,
                };
                self.sign_with(&identity, hash, &mut signer).await
            }
        };
        match result {
            Ok(result) => self.outcome(Ok(result)),
            // The host would take this key and we cannot use it: another way may be left.
            Err(SignError::Unusable(why)) => {
                self.log.hints.push(why);
                Ok(Step::Skipped)
            }
            Err(SignError::Lost) => Err(self.hung_up("the connection was closed")),
        }
    }

    async fn sign_with<S>(
        &mut self,
        identity: &Identity,
        hash: Option<HashAlg>,
        signer: &mut S,
    ) -> Result<AuthResult, SignError>
    where
        S: russh::Signer,
        SignError: From<S::Error>,
    {
        let user = self.hop.user.clone();
        let result = match identity.certificate.clone() {
            Some(certificate) => {
                let handle = &mut self.handle;
                handle
                    .authenticate_certificate_with(user, certificate, hash, signer)
                    .await
            }
            None => {
                let handle = &mut self.handle;
                handle
                    .authenticate_publickey_with(user, identity.key.clone(), hash, signer)
                    .await
            }
        };
        Ok(result?)
    }

    /// SHA-1 is never used; hosts that do not say what they take are offered SHA-512.
    async fn rsa_hash(&self) -> Result<Option<HashAlg>, Error> {
        let best = self.handle.best_supported_rsa_hash().await;
        let best = best.map_err(|error| self.hung_up(&describe(&error)))?;
        Ok(best.flatten().or(Some(HashAlg::Sha512)))
    }

    /// A conversation in which the host asks and a person answers.
    async fn converse(&mut self) -> Result<Step, Error> {
        let Some(prompt) = self.prompt.cloned() else {
            return Ok(Step::Skipped);
        };
        let what = "keyboard-interactive answers".to_owned();
        let user = self.hop.user.clone();
        let mut reply = self.handle.authenticate_keyboard_interactive_start(user, None).await;
        loop {
            match reply.map_err(|error| self.hung_up(&describe(&error)))? {
                KeyboardInteractiveAuthResponse::Success => return Ok(Step::Done),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                    self.log.offered.push(what);
                    return Ok(Step::Refused(remaining_methods));
                }
                KeyboardInteractiveAuthResponse::InfoRequest {
                    instructions, prompts, ..
                } => {
                    let mut answers = Vec::new();
                    for question in prompts {
                        let text = format!(
                            "{}@{}: {}{}",
                            self.hop.user, self.hop.host, instructions, question.prompt
                        );
                        let answer = match question.echo {
                            true => prompt.visible(&text).await,
                            false => prompt.secret(&text).await,
                        };
                        let Some(answer) = answer else {
                            return Err(self.authentication("nobody answered its questions".to_owned()));
                        };
                        answers.push(answer);
                    }
                    reply = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                }
            }
        }
    }

    /// A password; one that was good before is good for the next connection.
    async fn password(&mut self, may_repeat: bool) -> Result<Step, Error> {
        let Some(prompt) = self.prompt.cloned() else {
            return Ok(Step::Skipped);
        };
        let account = format!("{}@{}:{}", self.hop.user, self.hop.host, self.hop.port);
        let kept = self.answers.password(&account).filter(|_| may_repeat);
        let password = match kept {
            Some(password) => Some(password),
            None => {
                prompt
                    .secret(&format!("password of {}@{}: ", self.hop.user, self.hop.host))
                    .await
            }
        };
        let Some(password) = password else {
            return Err(self.authentication("nobody gave a password".to_owned()));
        };
        self.log.offered.push("a password".to_owned());
        let result = self
            .handle
            .authenticate_password(self.hop.user.clone(), password.clone())
            .await;
        let step = self.outcome(result.map_err(|error| describe(&error)))?;
        if matches!(step, Step::Done) {
            self.answers.keep_password(account, password);
        }
        Ok(step)
    }
}
