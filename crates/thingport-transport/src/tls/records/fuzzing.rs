//! A door for the fuzzer: a peer that knows the keys, or does not, writes records. A broken promise
//! panics, which only the fuzzer and the replay of its corpus ever see.

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::cipher::{AeadKey, Iv};

use super::*;

/// Reads what a peer writes as `script` says. The first byte chooses the suite, the second how many
/// bytes arrive at once; then come steps of a kind, a length, and so many bytes. Keys are not changed:
/// that takes those of a handshake.
///
/// # Panics
/// When honest records do not arrive as they were sent, or more was used or read than there is.
pub fn check(script: &[u8]) {
    let [choice, piece, steps @ ..] = script else { return };
    let suites = [
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let Some(suite) = suites.get(usize::from(choice % 4)) else { return };
    let (Ok(mut ours), Ok(peer)) = (records(*suite), records(*suite)) else { return };
    let sent = Sent::of(peer, steps);
    let mut came = Vec::new();
    let mut kept = Vec::new();
    for piece in sent.wire.chunks(usize::from(*piece) + 1) {
        kept.extend_from_slice(piece);
        match read(&mut ours, &mut kept, &mut came) {
            Ok(false) => assert!(kept.len() < HEADER + SEALED_MAX, "a whole record was left lying"),
            Ok(true) => break,
            Err(error) => {
                ours.tell(&error, &mut Vec::new());
                assert!(!sent.is_honest, "honest records were refused: {error}");
                break;
            }
        }
    }
    if sent.is_honest {
        assert_eq!(came, sent.plain, "honest records arrive as they were sent");
    }
    assert!(came.len() <= sent.wire.len(), "more came than was sent");
}

/// Takes the records that are whole out of `kept`; whether the peer said goodbye.
fn read(ours: &mut Records, kept: &mut Vec<u8>, came: &mut Vec<u8>) -> Result<bool, Error> {
    let mut into = vec![0; kept.len()];
    let (mut used, mut wire) = (0, Vec::new());
    let read = ours.open(kept, &mut used, &mut into, &mut wire)?;
    assert!(used <= kept.len() && read.plain <= into.len(), "no more than there is");
    assert!(wire.is_empty(), "without new keys nothing is answered");
    came.extend_from_slice(into.get(..read.plain).unwrap_or_default());
    kept.drain(..used);
    Ok(read.ended)
}

/// What the peer sent.
#[derive(Default)]
struct Sent {
    wire: Vec<u8>,
    /// The content of its records, as long as they are honest.
    plain: Vec<u8>,
    is_honest: bool,
}

impl Sent {
    fn of(mut peer: Records, mut steps: &[u8]) -> Self {
        let mut sent = Self { is_honest: true, ..Self::default() };
        while let [kind, length, rest @ ..] = steps {
            let (bytes, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
            steps = rest;
            match kind % 8 {
                0..=3 if !bytes.is_empty() => {
                    // A long record of a short script.
                    let content = bytes.repeat(1 + usize::from(kind >> 3));
                    sent.plain.extend_from_slice(&content);
                    sent.sealed(&mut peer, ContentType::ApplicationData, &content);
                }
                0..=3 => sent.dishonest(&mut peer, ContentType::ApplicationData, bytes),
                4 => sent.dishonest(&mut peer, ContentType::Alert, bytes),
                5 => sent.dishonest(&mut peer, ContentType::Handshake, bytes),
                6 => sent.dishonest(&mut peer, ContentType::from(*kind), bytes),
                _ => {
                    sent.is_honest = false;
                    sent.wire.extend_from_slice(bytes);
                }
            }
        }
        sent
    }

    /// Sealed with the right keys, and yet nothing that must be taken.
    fn dishonest(&mut self, peer: &mut Records, typ: ContentType, content: &[u8]) {
        self.is_honest = false;
        self.sealed(peer, typ, content);
    }

    fn sealed(&mut self, peer: &mut Records, typ: ContentType, content: &[u8]) {
        let sealed = peer.write(typ, content, &mut self.wire);
        assert!(sealed.is_ok(), "a record can be written: {sealed:?}");
    }
}

/// Records of a stream whose keys everybody knows.
fn records(suite: SupportedCipherSuite) -> Result<Records, Error> {
    let secrets = || {
        let (key, iv) = (AeadKey::from([7; 32]), Iv::new([9; 12]));
        match suite.suite() {
            rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
                ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }
            }
            _ => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        }
    };
    Ok(Records {
        suite,
        decrypter: decrypter(suite, secrets())?,
        read_seq: 0,
        encrypter: encrypter(suite, secrets())?,
        write_seq: 0,
        keys: None,
        fruitless: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_records_breaks_nothing() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/tls_records");
        let files: Vec<_> = std::fs::read_dir(root).expect("the corpus").collect();
        assert!(files.len() >= 56);
        for file in files {
            check(&std::fs::read(file.expect("a file").path()).expect("its bytes"));
        }
    }

    #[test]
    fn honest_records_arrive_however_they_are_cut() {
        for suite in 0..4 {
            for piece in [0, 1, 4, 5, 40, 255] {
                let mut script = vec![suite, piece];
                for kind in [0, 0xF8, 1, 0x80] {
                    script.extend([kind, 200]);
                    script.extend([kind; 200]);
                }
                check(&script);
            }
        }
    }

    /// Random bytes rarely become a record, so records are bent instead.
    #[test]
    fn bent_records_keep_the_promises() {
        let mut seed = 5_u64;
        let whole = [
            2, 60, 0, 4, 1, 2, 3, 4, 4, 2, 1, 90, 5, 5, 24, 0, 0, 1, 0, 0, 0, 7, 5, 23, 3, 3, 0, 9,
        ];
        for _ in 0..20_000 {
            let mut script = whole;
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let [at, byte, ..] = seed.to_be_bytes();
                script[usize::from(at) % whole.len()] = byte;
            }
            check(&script);
        }
    }
}
