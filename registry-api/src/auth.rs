//! Who asks, and what they may.

use std::sync::Arc;

use registry_core::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::action::Effect;
use crate::bind::Connection;
use crate::error::{ErrorCode, ErrorInfo};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads and subscriptions.
    Read,
    /// Everything.
    Write,
}

/// A known token. Only its hash is kept.
#[derive(Clone)]
pub struct Token {
    name: String,
    access: Access,
    hash: [u8; 32],
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?}, {:?})", self.name, self.access)
    }
}

impl Token {
    /// A token; `name` is the actor that goes into the log.
    pub fn new(name: impl Into<String>, access: Access, secret: &str) -> Self {
        Self {
            name: name.into(),
            access,
            hash: Sha256::digest(secret).into(),
        }
    }
}

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Goes into the log.
    pub actor: String,
    /// What they may.
    pub access: Access,
    /// The connection that they came over, where leases may be bound to it.
    pub connection: Option<Arc<Connection>>,
}

/// Decides who asks.
#[derive(Debug, Clone, Default)]
pub struct Authenticator {
    tokens: Vec<Token>,
}

impl Authenticator {
    /// Anybody may do anything where there are no tokens; with tokens, one of them is required.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens }
    }

    /// Whether a token is required.
    pub fn is_required(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Finds out who asks. It takes the same time for every token of the same length.
    ///
    /// # Errors
    /// `Unauthorized` where a token is required and none of them was given.
    pub fn authenticate(&self, secret: Option<&str>, now: Timestamp) -> Result<Caller, ErrorInfo> {
        if !self.is_required() {
            return Ok(Caller {
                actor: "anonymous".to_owned(),
                access: Access::Write,
                connection: None,
            });
        }
        let unauthorized = |message| ErrorInfo::new(ErrorCode::Unauthorized, message, now);
        let secret = secret.ok_or_else(|| unauthorized("a token is required"))?;
        let hash: [u8; 32] = Sha256::digest(secret).into();
        // Every token is compared, and each compare looks at every byte.
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.hash.ct_eq(&hash)) {
                found = Some(token);
            }
        }
        let token = found.ok_or_else(|| unauthorized("the token is not known"))?;
        Ok(Caller {
            actor: token.name.clone(),
            access: token.access,
            connection: None,
        })
    }
}

impl Caller {
    /// The same caller, over a connection to which it may bind leases.
    #[must_use]
    pub fn over(self, connection: &Arc<Connection>) -> Self {
        Self {
            connection: Some(Arc::clone(connection)),
            ..self
        }
    }

    /// Checks that the caller may do something of that effect.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check(&self, effect: Effect, now: Timestamp) -> Result<(), ErrorInfo> {
        if self.access == Access::Write || effect != Effect::Write {
            return Ok(());
        }
        let message = format!("{:?} has read access only", self.actor);
        Err(ErrorInfo::new(ErrorCode::Forbidden, message, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_tokens_pass_where_tokens_are_required() {
        let now = Timestamp::default();
        let tokens = vec![
            Token::new("ops", Access::Write, "s3cret"),
            Token::new("board", Access::Read, "look"),
        ];
        let guard = Authenticator::new(tokens);
        assert_eq!(
            guard.authenticate(Some("s3cret"), now).unwrap().actor,
            "ops"
        );
        assert_eq!(
            guard.authenticate(None, now).unwrap_err().code,
            ErrorCode::Unauthorized
        );
        assert_eq!(
            guard.authenticate(Some("S3cret"), now).unwrap_err().code,
            ErrorCode::Unauthorized
        );
        let reader = guard.authenticate(Some("look"), now).unwrap();
        assert!(reader.check(Effect::Read, now).is_ok());
        assert_eq!(
            reader.check(Effect::Write, now).unwrap_err().code,
            ErrorCode::Forbidden
        );
    }
}
