//! Signed checkpoints: a C2SP tlog-checkpoint inside a C2SP signed note (Ed25519, signature type 1).
//!
//! ```text
//! steward/approvals
//! 4096
//! <root, base64>
//!
//! \u{2014} steward/approvals <key id and signature, base64>
//! ```

use aws_lc_rs::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Jwk, Jwks, TreeHash};

/// The signature type of Ed25519 over the text, in C2SP signed-note.
const ED25519_NOTE: u8 = 1;
const DASH: &str = "\u{2014} ";

/// Why a text is no note that we believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    #[error("it is no signed note")]
    Form,
    #[error("it is not signed with a key that is known")]
    UnknownKey,
    #[error("its signature does not match")]
    Signature,
    #[error("its text is no checkpoint")]
    Checkpoint,
}

/// The state of a log: so many leaves, and the hash over all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `steward/approvals`.
    pub origin: String,
    pub size: u64,
    pub root: TreeHash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads the text of a note. There is one way to write a checkpoint, and every other is refused.
    ///
    /// # Errors
    /// [`InvalidNote::Checkpoint`].
    pub fn parse(text: &str) -> Result<Self, InvalidNote> {
        let invalid = InvalidNote::Checkpoint;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(invalid);
        };
        let root = STANDARD.decode(root).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or(invalid)?;
        let read = Self { origin: origin.to_owned(), size: size.parse().map_err(|_| invalid)?, root: root.into() };
        if read.text() == text && !origin.is_empty() { Ok(read) } else { Err(invalid) }
    }

    /// Opens a signed checkpoint.
    ///
    /// # Errors
    /// [`InvalidNote`].
    pub fn open(note: &str, keys: &Jwks) -> Result<Self, InvalidNote> {
        let (text, name) = open_note(note, keys)?;
        let checkpoint = Self::parse(text)?;
        // A log signs its own checkpoints, under its own name.
        if checkpoint.origin == name { Ok(checkpoint) } else { Err(InvalidNote::Checkpoint) }
    }
}

/// Which key of which name, in four bytes (C2SP signed-note): not a secret and no proof, only a way to find the key.
fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let hash = digest::digest(&digest::SHA256, &[name.as_bytes(), b"\n", &[ED25519_NOTE], public].concat());
    let mut id = [0; 4];
    id.copy_from_slice(&hash.as_ref()[..4]);
    id
}

/// Opens a note that has exactly one signature, made by one of these keys; answers with its text and the name under
/// which it was signed.
///
/// # Errors
/// [`InvalidNote`].
pub fn open_note<'n>(note: &'n str, keys: &Jwks) -> Result<(&'n str, &'n str), InvalidNote> {
    let (text, signature) = note.rsplit_once("\n\n").ok_or(InvalidNote::Form)?;
    let line = signature.strip_prefix(DASH).and_then(|line| line.strip_suffix('\n')).ok_or(InvalidNote::Form)?;
    let (name, signed) = line.split_once(' ').ok_or(InvalidNote::Form)?;
    let signed = STANDARD.decode(signed).map_err(|_| InvalidNote::Form)?;
    let (id, signed) = signed.split_at_checked(4).ok_or(InvalidNote::Form)?;
    // The text ends with a line end; the one after it only parts it from the signature.
    let text = &note[..=text.len()];
    let publics = keys.keys.iter().filter_map(|key| key.public().ok());
    let mut candidates = publics.filter(|public| key_id(name, public) == id).peekable();
    candidates.peek().ok_or(InvalidNote::UnknownKey)?;
    let signs = |public: [u8; 32]| UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), signed).is_ok();
    if candidates.any(signs) { Ok((text, name)) } else { Err(InvalidNote::Signature) }
}

/// Signs notes under a name.
pub struct NoteSigner {
    name: String,
    pair: Ed25519KeyPair,
}

impl NoteSigner {
    /// `name`: the origin of the log; no space, no `+`, no line end. `pkcs8`: the private key in DER, version 1 or 2
    /// (RFC 8410).
    ///
    /// # Errors
    /// What is wrong with name or key.
    pub fn new(name: &str, pkcs8: &[u8]) -> Result<Self, &'static str> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            return Err("the name of a log has no spaces and no +");
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8);
        let pair = pair.map_err(|_| "the key is no Ed25519 private key in PKCS#8 form")?;
        Ok(Self { name: name.to_owned(), pair })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    #[must_use]
    pub fn jwk(&self) -> Jwk {
        Jwk::ed25519(self.pair.public_key().as_ref())
    }

    /// The public key as C2SP's tools take it: `name+id+key`.
    #[must_use]
    pub fn verifier(&self) -> String {
        let public = self.pair.public_key().as_ref();
        let key = STANDARD.encode([&[ED25519_NOTE], public].concat());
        format!("{}+{}+{key}", self.name, hex::encode(key_id(&self.name, public)))
    }

    /// The note. `text` ends with a line end.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let id = key_id(&self.name, self.pair.public_key().as_ref());
        let signature = STANDARD.encode([&id, self.pair.sign(text.as_bytes()).as_ref()].concat());
        format!("{text}\n{DASH}{} {signature}\n", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> NoteSigner {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        NoteSigner::new("steward/approvals", pair.to_pkcs8().unwrap().as_ref()).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "steward/approvals".into(), size: 7, root: TreeHash::leaf(b"x") }
    }

    /// The example of golang.org/x/mod/sumdb/note, from which C2SP's signed-note comes.
    #[test]
    fn a_note_of_the_reference_implementation_is_opened() {
        let public = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let keys = Jwks { keys: vec![Jwk::ed25519(&public[1..])] };
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem \
                    is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let (text, name) = open_note(note, &keys).unwrap();
        assert!(text.ends_with("problem is.\n") && name == "PeterNeumann");
        assert_eq!(hex::encode(key_id(name, &public[1..])), "c74f20a3");
    }

    #[test]
    fn a_checkpoint_reads_back_and_any_changed_byte_fails() {
        let keys = Jwks { keys: vec![signer(1).jwk()] };
        let note = signer(1).sign(&checkpoint().text());
        assert_eq!(Checkpoint::open(&note, &keys).unwrap(), checkpoint());
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(Checkpoint::open(&changed, &keys).is_err(), "{changed:?}");
                }
            }
        }
        assert_eq!(Checkpoint::open(&note, &Jwks { keys: vec![signer(2).jwk()] }), Err(InvalidNote::UnknownKey));
    }

    #[test]
    fn another_log_s_name_signs_no_checkpoint_of_this_one() {
        let other = NoteSigner { name: "steward/supply".into(), ..signer(1) };
        let keys = Jwks { keys: vec![signer(1).jwk()] };
        assert_eq!(Checkpoint::open(&other.sign(&checkpoint().text()), &keys), Err(InvalidNote::Checkpoint));
        assert!(NoteSigner::new("a b", &[]).is_err() && NoteSigner::new("a", &[1]).is_err());
    }

    #[test]
    fn a_verifier_is_written_as_the_tools_take_it() {
        let verifier = signer(1).verifier();
        let parts: Vec<&str> = verifier.splitn(3, '+').collect();
        assert_eq!((parts[0], parts[1].len(), &parts[2][..1]), ("steward/approvals", 8, "A"));
    }
}
