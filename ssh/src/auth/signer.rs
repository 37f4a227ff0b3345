//! Signing with a key file whose passphrase is asked for only when the host has said that it would take the key.

use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey, decode_secret_key, signature::Signer as _};

use crate::auth::Answers;
use crate::options::Prompt;

/// How often a passphrase may be mistyped.
const TRIES: usize = 3;

/// Why there is no signature.
#[derive(Debug)]
pub enum SignError {
    /// This key cannot be used; another may be.
    Unusable(String),
    /// The connection is gone.
    Lost,
}

impl From<russh::SendError> for SignError {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl From<russh::AgentAuthError> for SignError {
    fn from(error: russh::AgentAuthError) -> Self {
        match error {
            russh::AgentAuthError::Send(_) => Self::Lost,
            russh::AgentAuthError::Key(error) => Self::Unusable(format!("the ssh-agent refused to sign: {error}")),
        }
    }
}

/// Signs with the key in a file.
pub struct FileSigner<'a> {
    pub path: PathBuf,
    pub prompt: Option<Arc<dyn Prompt>>,
    pub answers: &'a Answers,
}

impl FileSigner<'_> {
    async fn key(&self) -> Result<Arc<PrivateKey>, SignError> {
        if let Some(key) = self.answers.key(&self.path) {
            return Ok(key);
        }
        let place = self.path.display();
        let failed =
            |error: &dyn std::fmt::Display| SignError::Unusable(format!("failed to read the key {place}: {error}"));
        let text = std::fs::read_to_string(&self.path).map_err(|error| failed(&error))?;
        let error = match decode_secret_key(&text, None) {
            Ok(key) => return Ok(self.keep(key)),
            Err(error) => error,
        };
        if !is_encrypted(&text, &error) {
            return Err(failed(&error));
        }
        let Some(prompt) = &self.prompt else {
            return Err(SignError::Unusable(format!(
                "the key {place} is encrypted and there is nobody to ask for its passphrase: add it to an ssh-agent \
                 (ssh-add {place})"
            )));
        };
        for _ in 0..TRIES {
            let Some(phrase) = prompt.secret(&format!("passphrase of {place}: ")).await else {
                break;
            };
            if let Ok(key) = decode_secret_key(&text, Some(&phrase)) {
                return Ok(self.keep(key));
            }
        }
        Err(SignError::Unusable(format!("the passphrase of {place} was not given")))
    }

    fn keep(&self, key: PrivateKey) -> Arc<PrivateKey> {
        let key = Arc::new(key);
        self.answers.keep_key(self.path.clone(), Arc::clone(&key));
        key
    }
}

fn is_encrypted(text: &str, error: &russh::keys::Error) -> bool {
    matches!(error, russh::keys::Error::KeyIsEncrypted)
        || text.contains("ENCRYPTED")
        || PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted())
}

fn sign(key: &PrivateKey, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(&data)?,
        pair => pair.try_sign(&data)?,
    };
    signature.encode_prefixed(&mut data)?;
    Ok(data)
}

impl russh::Signer for FileSigner<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let key = self.key().await?;
        sign(&key, hash, data)
            .map_err(|error| SignError::Unusable(format!("failed to sign with {}: {error}", self.path.display())))
    }
}
