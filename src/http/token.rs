//! The admin token: made at random, shown once, kept as a salted hash, compared in constant time.
//!
//! A token has 160 random bits, so nobody finds it by trying and one round of SHA-256 is enough: the slow hashes that
//! passwords need protect secrets that people choose.

use std::fmt;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::time::Span;

/// A fresh admin token in clear. It is shown once and never stored; `Debug` hides it.
pub struct AdminToken(String);

impl AdminToken {
    /// Letters and digits of a token.
    pub const LENGTH: usize = 32;

    /// A new token from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bits = [0_u8; 20];
        getrandom::fill(&mut bits)?;
        Ok(Self(base32(&bits)))
    }

    /// The token as the operator types it: 32 letters and digits, in which case does not matter.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is stored instead of the token, under a fresh salt.
    ///
    /// # Errors
    /// When the operating system has no random numbers to give.
    pub fn hash(&self) -> Result<TokenHash, NoRandomness> {
        let mut salt = [0_u8; SALT];
        getrandom::fill(&mut salt)?;
        Ok(TokenHash { salt, digest: digest(&salt, &self.0) })
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(hidden)")
    }
}

/// The operating system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the operating system has no random numbers to make an admin token of")]
pub struct NoRandomness(#[from] getrandom::Error);

const SALT: usize = 16;
const DIGEST: usize = 32;
const VERSION: u8 = 1;

/// Salt and SHA-256 of an admin token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash {
    salt: [u8; SALT],
    digest: [u8; DIGEST],
}

impl TokenHash {
    /// Length of the stored form in bytes: a version, the salt, the digest.
    pub const STORED: usize = 1 + SALT + DIGEST;

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::STORED] {
        let mut bytes = [0; Self::STORED];
        bytes[0] = VERSION;
        bytes[1..=SALT].copy_from_slice(&self.salt);
        bytes[1 + SALT..].copy_from_slice(&self.digest);
        bytes
    }

    /// From the stored form.
    ///
    /// # Errors
    /// When the bytes have another length or version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadTokenHash> {
        let (&version, rest) = bytes.split_first().ok_or(BadTokenHash)?;
        let (salt, digest) = rest.split_at_checked(SALT).ok_or(BadTokenHash)?;
        if version != VERSION {
            return Err(BadTokenHash);
        }
        Ok(Self {
            salt: salt.try_into().map_err(|_| BadTokenHash)?,
            digest: digest.try_into().map_err(|_| BadTokenHash)?,
        })
    }

    /// Whether this is the hash of a token. Takes the same time for a token that is nearly right.
    #[must_use]
    pub fn verify(&self, token: &str) -> bool {
        let offered = digest(&self.salt, token);
        let difference = self.digest.iter().zip(offered).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        black_box(difference) == 0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(hidden)")
    }
}

/// Stored bytes that are no hash of an admin token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored admin token is damaged or of a later version; delete it to have a new one made")]
pub struct BadTokenHash;

fn digest(salt: &[u8; SALT], token: &str) -> [u8; DIGEST] {
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(token.trim().to_ascii_lowercase().as_bytes());
    hasher.finalize().into()
}

/// RFC 4648 base 32 in lower case, without padding; whole groups of five bytes only.
fn base32(bytes: &[u8; 20]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(AdminToken::LENGTH);
    for group in bytes.chunks_exact(5) {
        let bits = group.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
        for place in (0..8).rev() {
            let index = usize::try_from(bits >> (5 * place) & 31).unwrap_or(0);
            text.push(char::from(ALPHABET[index]));
        }
    }
    text
}

/// Counts wrong tokens over a minute. Beyond ten, further wrong ones are told to wait.
///
/// The right token is let through all the same: it cannot be found by trying, and a stranger must not be able to
/// lock the operator out.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Span,
    failures: u32,
}

impl Throttle {
    /// Wrong tokens answered as such in a minute.
    pub(super) const FAILURES: u32 = 10;
    const LENGTH: Span = Span::from_secs(60);

    /// Notes a wrong token; `Err` carries the time to wait where there were too many. `now` counts from any start.
    pub(super) fn handle_failure(&self, now: Span) -> Result<(), Span> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = Span::from_nanos(now.as_nanos().saturating_sub(window.began.as_nanos()));
        if age >= Self::LENGTH {
            *window = Window { began: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
        if window.failures <= Self::FAILURES {
            return Ok(());
        }
        let age = now.as_nanos().saturating_sub(window.began.as_nanos());
        Err(Span::from_nanos(Self::LENGTH.as_nanos().saturating_sub(age)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_verified_through_its_stored_form() {
        let token = AdminToken::generate().unwrap();
        let stored = token.hash().unwrap().to_bytes();
        let hash = TokenHash::from_bytes(&stored).unwrap();
        assert!(hash.verify(token.as_str()));
        assert!(hash.verify(&format!(" {} ", token.as_str().to_uppercase())));
        assert!(!hash.verify(""));
        assert!(!hash.verify(&token.as_str()[1..]));
        assert!(!hash.verify(AdminToken::generate().unwrap().as_str()));
    }

    #[test]
    fn two_hashes_of_one_token_differ() {
        let token = AdminToken::generate().unwrap();
        assert_ne!(token.hash().unwrap(), token.hash().unwrap());
    }

    #[test]
    fn tokens_have_32_letters_and_digits_and_stay_out_of_debug_output() {
        let token = AdminToken::generate().unwrap();
        assert_eq!(token.as_str().len(), AdminToken::LENGTH);
        assert!(token.as_str().bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
        assert!(!format!("{token:?}").contains(token.as_str()));
    }

    #[test]
    fn base32_follows_rfc_4648() {
        assert_eq!(base32(b"foobafoobafoobafooba"), "mzxw6ytb".repeat(4));
    }

    #[test]
    fn damaged_stored_bytes_are_refused() {
        let stored = AdminToken::generate().unwrap().hash().unwrap().to_bytes();
        assert_eq!(TokenHash::from_bytes(&stored[..48]), Err(BadTokenHash));
        assert_eq!(TokenHash::from_bytes(&[]), Err(BadTokenHash));
        let mut later = stored;
        later[0] = 2;
        assert_eq!(TokenHash::from_bytes(&later), Err(BadTokenHash));
        assert_eq!(TokenHash::from_bytes(&[&stored[..], &[0]].concat()), Err(BadTokenHash));
    }

    #[test]
    fn the_eleventh_failure_of_a_minute_is_told_to_wait() {
        let throttle = Throttle::default();
        let at = Span::from_secs(100);
        for _ in 0..10 {
            assert_eq!(throttle.handle_failure(at), Ok(()));
        }
        assert_eq!(throttle.handle_failure(Span::from_secs(130)), Err(Span::from_secs(30)));
        assert_eq!(throttle.handle_failure(Span::from_secs(160)), Ok(()));
    }
}
