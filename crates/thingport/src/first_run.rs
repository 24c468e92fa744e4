//! The first start: somebody must be able to log in.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use thingport_api::auth::password;
use thingport_core::clock::Entropy;
use thingport_core::node::Node;
use thingport_core::registry::first_run::FirstPeople;

use crate::failure::Failure;

/// Creates what a fresh installation needs. The text, if any, is to be shown to the person once.
pub(crate) async fn prepare(
    node: &Node,
    dir: &Path,
    demo: bool,
) -> Result<Option<String>, Failure> {
    let entropy = &*node.entropy;
    let trouble = |error| Failure::new(format!("the first accounts cannot be created: {error:?}"));
    let fresh = node.registry.is_fresh().await.map_err(trouble)?;
    if demo {
        node.registry.found_demo_devices().await.map_err(trouble)?;
        let known = if fresh { DEMO_PASSWORDS.map(str::to_owned).to_vec() } else { Vec::new() };
        let hashes = Hashes::of(known, &node.entropy).await;
        let hash = |password: &str| hashes.hash(password, entropy);
        node.registry.found_demo(&hash).await.map_err(trouble)?;
        return Ok(Some(DEMO.to_owned()));
    }
    if !fresh {
        return Ok(None);
    }
    let people = FirstPeople {
        system_email: "sysadmin@localhost.localdomain".to_owned(),
        system_password: new_password(entropy),
        tenant_title: "Tenant".to_owned(),
        tenant_email: "tenant@localhost.localdomain".to_owned(),
        tenant_password: new_password(entropy),
    };
    let path = dir.join(FILE);
    // Written before the accounts exist: a password that nobody knows would lock everybody out.
    write_for_owner(&path, &as_text(&people))
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?;
    let known = vec![people.system_password.clone(), people.tenant_password.clone()];
    let hashes = Hashes::of(known, &node.entropy).await;
    let hash = |password: &str| hashes.hash(password, entropy);
    node.registry.found(&people, &hash).await.map_err(trouble)?;
    Ok(Some(format!(
        "First start: these accounts were created. They are shown once, and kept in {}\n\
         (readable by its owner only): delete it when you have noted them.\n{}",
        path.display(),
        as_text(&people)
    )))
}

/// Passwords and their hashes. Hashing is slow on purpose; those known beforehand are hashed side by
/// side, so that a first start is quick.
struct Hashes(Vec<(String, String)>);

impl Hashes {
    async fn of(passwords: Vec<String>, entropy: &Arc<dyn Entropy>) -> Self {
        // Away from the threads that serve devices already.
        let hashing = passwords.into_iter().map(|password| {
            let entropy = Arc::clone(entropy);
            tokio::task::spawn_blocking(move || {
                let hash = hash(&password, &*entropy);
                (password, hash)
            })
        });
        let mut pairs = Vec::new();
        for one in hashing.collect::<Vec<_>>() {
            // A task that failed leaves its password to be hashed when it is needed.
            pairs.extend(one.await.ok());
        }
        Self(pairs)
    }

    fn hash(&self, password: &str, entropy: &dyn Entropy) -> String {
        let known = self.0.iter().find(|(known, _)| known == password);
        known.map_or_else(|| hash(password, entropy), |(_, hash)| hash.clone())
    }
}

fn hash(password: &str, entropy: &dyn Entropy) -> String {
    password::hash(password, entropy)
        .expect("the parameters of the hash are constants that its library accepts")
}

fn as_text(people: &FirstPeople) -> String {
    format!(
        "  system administrator  {}  {}\n  tenant administrator  {}  {}\n",
        people.system_email, people.system_password, people.tenant_email, people.tenant_password
    )
}

fn write_for_owner(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Twenty characters that are hard to confuse; about 98 bits.
fn new_password(entropy: &dyn Entropy) -> String {
    let mut random = [0; 20];
    entropy.fill(&mut random);
    // 256 is a multiple of the 32 letters, so each is equally likely.
    random.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const DEMO_PASSWORDS: [&str; 3] = ["sysadmin", "tenant", "customer"];
const FILE: &str = "first-passwords.txt";
const DEMO: &str = "Demo accounts: sysadmin@thingsboard.org/sysadmin, \
tenant@thingsboard.org/tenant, customer@thingsboard.org/customer\n";
