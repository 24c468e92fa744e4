//! What TLS promises to devices, shown on real sockets with a client that is not ours.

mod rig;

use std::io::ErrorKind;
use std::sync::Arc;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite,
    Tls13CipherSuite,
};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::rig::{
    Dribble, Seen, Server, certified, client, connect, device, name, pem, without_tickets,
};
use super::{KEPT_MAX, Tls};

const BOTH: [(&SupportedProtocolVersion, &str); 2] = [(&TLS12, "TLS 1.2"), (&TLS13, "TLS 1.3")];

/// Connects, has something echoed, says goodbye.
async fn talk(server: &Server, config: &Arc<ClientConfig>) -> Seen {
    let (seen, ()) = tokio::join!(server.serve(), async {
        let mut stream = connect(server.addr(), config).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut echoed = [0; 5];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"hello");
        stream.shutdown().await.unwrap();
        // Only a close_notify makes this a clean end.
        assert_eq!(stream.read(&mut echoed).await.unwrap(), 0);
    });
    seen
}

/// Connects and expects that the server refuses; what it saw.
async fn fail(server: &Server, config: ClientConfig) -> (Reason, String) {
    let config = Arc::new(config);
    let (seen, ()) = tokio::join!(server.serve(), async {
        // In TLS 1.3 a client is done before the server has seen its certificate.
        if let Ok(mut stream) = connect(server.addr(), &config).await {
            let read = stream.read(&mut [0; 1]).await;
            assert!(read.is_err(), "the client is told by an alert: {read:?}");
        }
    });
    seen.end.unwrap_err()
}

fn key_of(name: &str) -> KeyPair {
    let made = match name {
        "P-256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        "P-384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        "Ed25519" => KeyPair::generate_for(&PKCS_ED25519),
        "RSA 2048" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        "RSA 4096" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        other => panic!("no key is called {other}"),
    };
    made.unwrap()
}

fn version_one() -> Arc<CertifiedKey> {
    let key = include_str!("../../testdata/tls/v1.key.pem");
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    certified(vec![pem(include_str!("../../testdata/tls/v1.pem"))], key.secret_pkcs8_der().to_vec())
}

#[tokio::test]
async fn any_certificate_is_taken_whose_key_the_client_holds() {
    let server = Server::start().await;
    let kinds = ["P-256", "P-384", "Ed25519", "RSA 2048", "RSA 4096"];
    let mut rows = vec![("none", None), ("X.509 v1", Some(version_one()))];
    // Each is self-signed and has expired (AU-041, AU-045).
    rows.extend(kinds.map(|kind| (kind, Some(device(&key_of(kind))))));
    for (kind, cert) in &rows {
        for (version, shown) in BOTH {
            let config = Arc::new(server.client(version, cert.clone()));
            let seen = talk(&server, &config).await;
            assert_eq!(seen.end, Ok(()), "{kind} {shown}");
            assert_eq!(seen.received, b"hello");
            check_security(&seen.security.unwrap(), shown, cert.as_deref());
        }
    }
}

fn check_security(security: &Security, version: &str, cert: Option<&CertifiedKey>) {
    assert_eq!(security.version, version);
    assert!(security.cipher.starts_with("TLS_"), "IANA's name: {}", security.cipher);
    let chain: Vec<_> = security.chain.iter().map(AsRef::as_ref).collect();
    let presented = cert.map(|it| it.cert.as_slice()).unwrap_or_default();
    assert_eq!(chain, presented.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
}

#[tokio::test]
async fn a_certificate_presented_with_another_key_is_refused() {
    let server = Server::start().await;
    for kind in ["P-256", "RSA 2048", "Ed25519"] {
        let stolen = device(&key_of(kind));
        for other in ["P-256", "RSA 2048"] {
            let forged = certified(stolen.cert.clone(), key_of(other).serialize_der());
            for (version, shown) in BOTH {
                let config = server.client(version, Some(Arc::clone(&forged)));
                let (reason, detail) = fail(&server, config).await;
                assert_eq!(reason, Reason::ClientKeyWrong, "{kind} {other} {shown}: {detail}");
            }
        }
    }
}

#[tokio::test]
async fn certificates_of_no_use_are_refused_with_what_is_wrong() {
    let server = Server::start().await;
    let key = key_of("P-256");
    let good = device(&key).cert[0].clone();
    let big = CertificateDer::from(vec![0; 21 * 1024]);
    let rows = [
        (vec![pem(include_str!("../../testdata/tls/rsa1024.pem"))], "1024 bits"),
        (vec![pem(include_str!("../../testdata/tls/secp256k1.pem"))], "another kind"),
        (vec![CertificateDer::from(b"not a certificate".to_vec())], "not X.509"),
        (vec![good.clone(); 11], "11 certificates"),
        (vec![good, big], "the most"),
    ];
    for (chain, word) in rows {
        let forged = certified(chain, key.serialize_der());
        for (version, shown) in BOTH {
            let config = server.client(version, Some(Arc::clone(&forged)));
            let (reason, detail) = fail(&server, config).await;
            assert_eq!(reason, Reason::ClientCertificateUnusable, "{shown}: {detail}");
            assert!(detail.contains(word), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_resumed_session_still_knows_the_clients_certificate() {
    let server = Server::start().await;
    let cert = device(&key_of("P-256"));
    for (version, shown) in BOTH {
        for cert in [None, Some(Arc::clone(&cert))] {
            let mut configs = vec![server.client(version, cert.clone())];
            if *version == TLS12 {
                configs.push(without_tickets(server.client(version, cert.clone())));
            }
            for config in configs.into_iter().map(Arc::new) {
                assert!(!talk(&server, &config).await.resumed);
                for _ in 0..3 {
                    let seen = talk(&server, &config).await;
                    assert!(seen.resumed, "{shown}");
                    check_security(&seen.security.unwrap(), shown, cert.as_deref());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_session_dribbled_byte_by_byte_is_served_and_keeps_nothing() {
    let server = Server::start().await;
    let cert = device(&key_of("RSA 2048"));
    for (version, shown) in BOTH {
        let config = Arc::new(server.client(version, Some(Arc::clone(&cert))));
        let (seen, ()) = tokio::join!(server.serve(), async {
            let tcp = TcpStream::connect(server.addr()).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let connector = TlsConnector::from(Arc::clone(&config));
            let mut stream = connector.connect(name(), Dribble::new(tcp)).await.unwrap();
            stream.write_all(&[7; 300]).await.unwrap();
            stream.flush().await.unwrap();
            let mut echoed = [0; 300];
            stream.read_exact(&mut echoed).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        assert_eq!((seen.received.len(), seen.end), (300, Ok(())), "{shown}");
        assert!(seen.kept.0 > 0 && seen.kept.0 <= KEPT_MAX, "{:?}", seen.kept);
        assert_eq!(seen.kept.1, 0, "an idle stream owns no buffer");
    }
}

#[tokio::test]
async fn many_small_and_a_few_huge_records_arrive_whole_and_in_order() {
    let server = Server::start().await;
    let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    for (version, shown) in BOTH {
        for piece in [97, 16 * 1024, text.len()] {
            let config = Arc::new(server.client(version, None));
            let (seen, ()) = tokio::join!(server.serve(), async {
                let stream = connect(server.addr(), &config).await.unwrap();
                let (mut read, mut write) = tokio::io::split(stream);
                let sent = async {
                    for piece in text.chunks(piece) {
                        write.write_all(piece).await.unwrap();
                    }
                    write.flush().await.unwrap();
                };
                let mut echoed = vec![0; text.len()];
                let (read, ()) = tokio::join!(read.read_exact(&mut echoed), sent);
                read.unwrap();
                assert!(echoed == text, "{shown} {piece}");
                write.shutdown().await.unwrap();
            });
            assert!(seen.received == text, "{shown} {piece}");
            assert_eq!((seen.end, seen.kept.1), (Ok(()), 0));
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_told_apart() {
    let server = Server::start().await;
    for (version, shown) in BOTH {
        let config = Arc::new(client(&[], version));
        let (seen, refused) = tokio::join!(server.serve(), connect(server.addr(), &config));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidData);
        let (reason, detail) = seen.end.unwrap_err();
        assert_eq!(reason, Reason::ServerCertificateRejected, "{shown}");
        assert!(detail.contains("unknown_ca (48)"), "{detail}");
    }
}

/// Has something echoed so often, and changes the client's keys in between if it is to.
async fn echo(server: &Server, config: ClientConfig, times: usize, changes: bool) -> Seen {
    let config = Arc::new(config);
    let (seen, ()) = tokio::join!(server.serve(), async {
        let mut stream = connect(server.addr(), &config).await.unwrap();
        for time in 0..times {
            let text = [u8::try_from(time).unwrap(); 70];
            let mut echoed = [0; 70];
            let sent = stream.write_all(&text).await;
            if sent.is_err() || stream.read_exact(&mut echoed).await.is_err() {
                return;
            }
            assert_eq!(echoed, text);
            if changes {
                stream.get_mut().1.refresh_traffic_keys().unwrap();
            }
        }
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    });
    seen
}

/// Algorithms with this suite alone, each of whose keys may protect so many records.
fn only(suite: SupportedCipherSuite, limit: Option<u64>) -> CryptoProvider {
    let suite = match (suite, limit) {
        (_, None) => suite,
        (SupportedCipherSuite::Tls13(suite), Some(limit)) => {
            let common = CipherSuiteCommon { confidentiality_limit: limit, ..suite.common };
            let made = Box::leak(Box::new(Tls13CipherSuite { common, ..*suite }));
            SupportedCipherSuite::Tls13(made)
        }
        (SupportedCipherSuite::Tls12(suite), Some(limit)) => {
            let common = CipherSuiteCommon { confidentiality_limit: limit, ..suite.common };
            let made = Box::leak(Box::new(Tls12CipherSuite { common, ..*suite }));
            SupportedCipherSuite::Tls12(made)
        }
    };
    CryptoProvider { cipher_suites: vec![suite], ..default_provider() }
}

#[tokio::test]
async fn every_suite_carries_records_both_ways() {
    let keys = [key_of("P-256"), key_of("RSA 2048")];
    for suite in default_provider().cipher_suites {
        let is_rsa = format!("{:?}", suite.suite()).contains("_RSA_");
        let server = Server::with(only(suite, None), &keys[usize::from(is_rsa)]).await;
        let seen = echo(&server, server.client(suite.version(), None), 40, false).await;
        assert_eq!((seen.received.len(), seen.end), (40 * 70, Ok(())), "{suite:?}");
        let security = seen.security.unwrap();
        assert!(format!("{:?}", suite.suite()).ends_with(&security.cipher[4..]), "{security:?}");
    }
}

#[tokio::test]
async fn keys_are_changed_when_the_client_wants_it_and_when_ours_are_used_up() {
    let server = Server::start().await;
    let seen = echo(&server, server.client(&TLS13, None), 20, true).await;
    assert_eq!((seen.received.len(), seen.end), (20 * 70, Ok(())));

    for suite in default_provider().cipher_suites {
        let is_v13 = suite.tls13().is_some();
        if format!("{:?}", suite.suite()).contains("_RSA_") {
            continue;
        }
        let server = Server::with(only(suite, Some(10)), &key_of("P-256")).await;
        let seen = echo(&server, server.client(suite.version(), None), 60, false).await;
        // TLS 1.2 has no other keys: the device has to connect again.
        assert_eq!(seen.end.is_ok(), is_v13, "{suite:?}: {:?}", seen.end);
        assert_eq!(seen.received.len() == 60 * 70, is_v13, "{suite:?}");
    }
}

#[tokio::test]
async fn a_client_that_changes_keys_without_end_is_stopped() {
    let server = Server::start().await;
    let config = Arc::new(server.client(&TLS13, None));
    let (seen, ()) = tokio::join!(server.serve(), async {
        let mut stream = connect(server.addr(), &config).await.unwrap();
        for _ in 0..40 {
            stream.get_mut().1.refresh_traffic_keys().unwrap();
        }
        // The server may have closed already.
        let _ = stream.flush().await;
        assert!(stream.read(&mut [0; 1]).await.is_err());
    });
    assert_eq!(seen.end.unwrap_err().0, Reason::TlsMalformed);
}

/// Sends bytes as they are and ends the stream; what the server made of it, and what it answered.
async fn raw(server: &Server, bytes: &[u8]) -> (Seen, Vec<u8>) {
    tokio::join!(server.serve(), async {
        let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // The server may have closed before it read everything.
        let _ = tcp.read_to_end(&mut answer).await;
        answer
    })
}

/// A `ClientHello` of the simplest kind.
fn hello(version: [u8; 2], suites: &[u8]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([0x55; 32]);
    body.push(0);
    body.extend(u16::try_from(suites.len()).unwrap().to_be_bytes());
    body.extend(suites);
    body.extend([1, 0]);
    // Groups: P-256; signatures: ECDSA on it.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![0x16, 3, 1];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}

#[tokio::test]
async fn whatever_else_arrives_is_refused_with_its_reason_and_an_alert() {
    const ECDHE: [u8; 2] = [0xc0, 0x2b];
    let server = Server::start().await;
    let good = hello([3, 3], &ECDHE);
    let connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00".to_vec();
    let long = [vec![0x16, 3, 3, 0x40, 0, 1, 0, 0xff, 0xf0], vec![0; 0x3ffc]].concat();
    let endless = [long, [vec![0x16, 3, 3, 0x40, 0], vec![0; 0x4000]].concat().repeat(2)].concat();
    let rows = [
        ("MQTT", connect, Some(Reason::PlainOnTlsPort), None),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Some(Reason::PlainOnTlsPort), None),
        ("TLS 1.0", hello([3, 1], &ECDHE), Some(Reason::TlsVersionTooOld), Some(70)),
        ("TLS 1.1", hello([3, 2], &ECDHE), Some(Reason::TlsVersionTooOld), Some(70)),
        ("RSA key exchange", hello([3, 3], &[0, 0x2f]), Some(Reason::TlsNoCommonCipher), Some(40)),
        ("half a hello", good[..40].to_vec(), Some(Reason::TlsHandshakeAborted), None),
        ("a hello alone", good, Some(Reason::TlsHandshakeAborted), None),
        (
            "a broken hello",
            vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 9],
            Some(Reason::TlsMalformed),
            Some(50),
        ),
        ("an endless hello", endless, Some(Reason::TlsMalformed), None),
        ("nothing", Vec::new(), None, None),
    ];
    for (what, bytes, expected, alert) in rows {
        let (seen, answer) = raw(&server, &bytes).await;
        let found = seen.end.err();
        assert_eq!(found.as_ref().map(|it| it.0), expected, "{what}: {found:?}");
        assert_eq!(seen.kept.1, 0, "{what}");
        if let Some(alert) = alert {
            assert!(answer.ends_with(&[2, alert]), "{what}: {answer:02x?}");
        }
    }
}

#[tokio::test]
async fn a_session_cut_or_damaged_after_the_handshake_ends() {
    let server = Server::start().await;
    // A record that nobody encrypted.
    let forged = [&[0x17, 3, 3, 0, 32][..], &[0; 32]].concat();
    let rows: [(&str, &[u8], Result<(), Reason>); 7] = [
        ("a forged record", &forged, Err(Reason::TlsMalformed)),
        ("its beginning", &forged[..20], Ok(())),
        ("a forged alert", &[0x15, 3, 3, 0, 2, 1, 0], Err(Reason::TlsMalformed)),
        ("a hello", &[0x16, 3, 3, 0, 4, 1, 0, 0, 0], Err(Reason::TlsMalformed)),
        ("another protocol", b"GET / HTTP/1.1\r\n", Err(Reason::TlsMalformed)),
        ("a record too long", &[0x17, 3, 3, 0x48, 0x01], Err(Reason::TlsMalformed)),
        ("an empty record", &[0x17, 3, 3, 0, 0], Err(Reason::TlsMalformed)),
    ];
    for (version, shown) in BOTH {
        for (what, bytes, expected) in &rows {
            let config = Arc::new(server.client(version, None));
            let (seen, ()) = tokio::join!(server.serve(), async {
                let mut stream = connect(server.addr(), &config).await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.read_exact(&mut [0; 5]).await.unwrap();
                let (mut tcp, _) = stream.into_inner();
                tcp.write_all(bytes).await.unwrap();
                tcp.shutdown().await.unwrap();
                let _ = tcp.read_to_end(&mut Vec::new()).await;
            });
            assert_eq!(seen.received, b"hello");
            let end = seen.end.map_err(|(reason, _)| reason);
            assert_eq!(end, *expected, "{shown} {what}");
        }
    }
}

#[test]
fn a_tls_stream_is_small() {
    assert!(size_of::<Tls>() <= 192, "{}", size_of::<Tls>());
}
