//! The CA of a profile, checked and brought into its stored form (P-11, P-13, AU-050).

use thingport_model::profile::{ChainStrictness, Provisioning, X509Chain};
use thingport_x509::certificate::Certificate;
use thingport_x509::crl::RevocationList;
use thingport_x509::input;
use thingport_x509::pattern::NamePattern;
use thingport_x509::roots::is_public_root;

use super::Unsaid;
use crate::error::Error;

/// The provisioning as it is stored: key and name of the CA are worked out, certificates have one form,
/// and what the request left unsaid stays as it was.
pub(super) fn settled(
    sent: Provisioning,
    kept: Option<(&Provisioning, Unsaid)>,
) -> Result<Provisioning, Error> {
    let Provisioning::X509Chain(mut sent) = sent else { return Ok(sent) };
    let ca = settle_chain(&mut sent)?;
    if let Some((Provisioning::X509Chain(old), unsaid)) = kept
        && old.key == sent.key
    {
        if unsaid.strictness {
            sent.strictness = old.strictness;
        }
        if unsaid.crl {
            sent.crl.clone_from(&old.crl);
        }
    }
    check_ca(&ca, sent.strictness)?;
    NamePattern::new(&sent.cn_pattern)
        .map_err(|problem| Error::Invalid(format!("certificateRegExPattern {problem}")))?;
    settle_crl(&mut sent, &ca)?;
    Ok(Provisioning::X509Chain(sent))
}

/// Whether certificates may have been called back that were not before.
pub(super) fn has_other_list(before: &Provisioning, now: &Provisioning) -> bool {
    let list = |it: &Provisioning| match it {
        Provisioning::X509Chain(chain) => chain.crl.clone(),
        _ => None,
    };
    let now = list(now);
    now.is_some() && now != list(before)
}

/// P-11: each certificate one base64 line between its BEGIN and END lines.
fn settle_chain(sent: &mut X509Chain) -> Result<Certificate, Error> {
    let mut chain = input::read_chain(sent.chain.as_bytes())
        .map_err(|problem| Error::Invalid(format!("provisionDeviceSecret: {problem}")))?;
    sent.chain = chain.iter().map(one_line).collect();
    // At least one was read.
    let ca = chain.swap_remove(0);
    sent.key = ca.credentials_id();
    sent.ca_name = ca.subject_id();
    Ok(ca)
}

fn one_line(certificate: &Certificate) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", certificate.to_base64())
}

fn check_ca(ca: &Certificate, strictness: ChainStrictness) -> Result<(), Error> {
    let facts = ca.facts();
    if is_public_root(ca) {
        return Err(Error::Invalid(format!(
            "provisionDeviceSecret: {} is a public CA, which issues certificates to anybody: give the \
             certificate of a CA of your own",
            facts.subject
        )));
    }
    if strictness == ChainStrictness::Compatible {
        return Ok(());
    }
    let may_sign = facts.key_usage.as_ref().is_none_or(|usage| usage.contains(&"keyCertSign"));
    if facts.is_ca() && may_sign {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "provisionDeviceSecret: the first certificate, of {}, is not one of a CA: make it with \
         basicConstraints=CA:TRUE (and keyCertSign, if it has a keyUsage), paste the CA's certificate \
         first, or set chainVerification to COMPATIBLE",
        facts.subject
    )))
}

fn settle_crl(sent: &mut X509Chain, ca: &Certificate) -> Result<(), Error> {
    sent.crl = sent.crl.take().filter(|text| !text.trim().is_empty());
    let Some(text) = &sent.crl else { return Ok(()) };
    let read = RevocationList::read(text.as_bytes()).and_then(|list| list.verify(ca));
    read.map_err(|problem| Error::Invalid(format!("certificateRevocationList: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = include_str!("../../../../thingport-x509/testdata/chain.pem");
    const CA: &str = include_str!("../../../../thingport-x509/testdata/intermediate.pem");
    const ROOT: &str = include_str!("../../../../thingport-x509/testdata/root.pem");
    const PUBLIC: &str = include_str!("../../../../thingport-x509/testdata/public_root.pem");
    const CRL: &str = include_str!("../../../../thingport-x509/testdata/crl.pem");

    fn chain(pem: &str) -> X509Chain {
        X509Chain { chain: pem.to_owned(), cn_pattern: "(.*)".to_owned(), ..X509Chain::default() }
    }

    fn settle(sent: X509Chain, kept: Option<(&Provisioning, Unsaid)>) -> Result<X509Chain, String> {
        match settled(Provisioning::X509Chain(Box::new(sent)), kept) {
            Ok(Provisioning::X509Chain(chain)) => Ok(*chain),
            Ok(_) => panic!("another kind"),
            Err(Error::Invalid(sentence)) => Err(sentence),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chain_is_stored_in_one_line_each_and_its_first_is_the_key() {
        let both = format!("text\n{CA}\n{ROOT}").replace('\n', "\r\n");
        let stored = settle(chain(&both), None).unwrap();
        let lines: Vec<_> = stored.chain.lines().collect();
        assert_eq!(lines.len(), 6, "P-11");
        assert_eq!(stored.key, thingport_x509::fingerprint::hash_one(lines[1]), "C-3");
        let again = settle(chain(&stored.chain), None).unwrap();
        assert_eq!(again, stored);
    }

    #[test]
    fn what_no_device_may_be_trusted_by_is_refused() {
        let with = |change: fn(&mut X509Chain)| {
            let mut sent = chain(CA);
            change(&mut sent);
            sent
        };
        let rows = [
            (chain(""), "provisionDeviceSecret: the certificate is missing"),
            (chain("nonsense!"), "provisionDeviceSecret: this is not base64"),
            (chain(PUBLIC), "provisionDeviceSecret: CN=ISRG Root X2"),
            // The device's certificate pasted in the place of the CA's.
            (chain(CHAIN), "provisionDeviceSecret: the first certificate, of CN=pump-21"),
            (with(|it| it.cn_pattern = "(".to_owned()), "certificateRegExPattern is not a regular"),
            (with(|it| it.cn_pattern = "x".to_owned()), "certificateRegExPattern has no group"),
            (with(|it| it.crl = Some("x".to_owned())), "certificateRevocationList: "),
            (
                X509Chain { crl: Some(CRL.to_owned()), ..chain(ROOT) },
                "certificateRevocationList: the revocation list is made by CN=Intermediate",
            ),
        ];
        for (sent, expected) in rows {
            let refused = settle(sent, None).expect_err(expected);
            assert!(refused.starts_with(expected), "{refused}");
        }
        let device = X509Chain { strictness: ChainStrictness::Compatible, ..chain(CHAIN) };
        assert!(settle(device, None).is_ok(), "as ThingsBoard does, when somebody says so");
    }

    #[test]
    fn what_a_client_does_not_know_it_does_not_undo() {
        let ours = X509Chain {
            crl: Some(CRL.to_owned()),
            strictness: ChainStrictness::Compatible,
            ..chain(CA)
        };
        let stored = settle(ours, None).unwrap();
        let old = Provisioning::X509Chain(Box::new(stored.clone()));
        let unsaid = Unsaid { strictness: true, crl: true };
        let said = Unsaid::default();
        assert_eq!(settle(chain(CA), Some((&old, unsaid))).as_ref(), Ok(&stored));
        let cleared = settle(chain(CA), Some((&old, said))).unwrap();
        assert_eq!((cleared.crl, cleared.strictness), (None, ChainStrictness::Strict));
        let other_ca = settle(chain(ROOT), Some((&old, unsaid))).unwrap();
        assert_eq!((other_ca.crl, other_ca.strictness), (None, ChainStrictness::Strict));
    }
}
