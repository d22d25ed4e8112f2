//! `steward keys`: makes an API key. The plain key is shown once; the file keeps its hash.

use chassis::{
    Ids,
    auth::{Grantee, KeyId, KeysFile, Role, generate_key},
};
use clap::Subcommand;
use contracts::PersonId;

use super::tell;

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Make a key: prints it once, and the entry for `auth.keys_file`. Rotation is two entries for a while.
    New {
        /// 1 to 32 characters of a-z, 0-9 and -.
        id: String,
        /// service, store_manager, regional_ops, finance, procurement_lead, auditor, operator or admin; repeatable.
        #[arg(long = "role", required = true, value_parser = parse_role)]
        roles: Vec<Role>,
        /// The person whose key it is; without one it is a machine's.
        #[arg(long)]
        person: Option<PersonId>,
    },
}

fn parse_role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::as_str).join(", ");
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| format!("no such role; there are {}", known()))
}

pub(super) fn run(verb: KeyVerb) -> anyhow::Result<()> {
    let KeyVerb::New { id, roles, person } = verb;
    let (plain, mut entry) = generate_key(&Ids::default(), &KeyId::try_from(id)?);
    entry.roles = roles.into_iter().map(Grantee::everywhere).collect();
    entry.person = person;
    tell(&format!("# The key, shown once:\n# {plain}\n"));
    tell(&serde_saphyr::to_string(&KeysFile { keys: vec![entry] })?);
    Ok(())
}
