//! The people who may decide, and the roles they hold and where.

use std::{collections::BTreeSet, sync::Arc};

use contracts::{LocationId, PersonId, RegionId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Role, Site,
    authority::{Convert, Given, Limit, Limits, Matter, OverLimit, OverrideRule, Standing},
};

/// One person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub id: PersonId,
    #[schema(example = "Olga Ruiz")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// BCP 47 language tag of the messages sent to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "en")]
    pub locale: Option<String>,
    #[serde(default)]
    pub roles: Vec<HeldRole>,
}

/// A role and where it counts: in one location, in one region, or everywhere when neither is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldRole {
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
}

impl HeldRole {
    /// A scope that cannot be compared, because the site's region or location is not known, does not cover it.
    pub(crate) fn covers(&self, site: &Site) -> bool {
        let region = self.region.is_none() || self.region == site.region;
        let location = self.location.is_none() || self.location == site.location;
        region && location
    }
}

/// Everybody, as the operator's file names them, with the limits of their authority. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawDirectory")]
pub struct Directory {
    file: Arc<File>,
    /// What counts for one request at one moment; nothing for the file by itself.
    standing: Standing,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct File {
    people: Vec<Person>,
    limits: Vec<Limit>,
    overrides: Vec<OverrideRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDirectory {
    people: Vec<Person>,
    #[serde(default)]
    limits: Vec<Limit>,
    #[serde(default)]
    overrides: Vec<OverrideRule>,
}

/// Why people do not make a directory.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDirectory {
    #[error("two people have the id {0}")]
    TwoPeople(PersonId),
    #[error("two limits have the name {0:?}")]
    TwoLimits(String),
    #[error("the override rule of {0} has a cap below zero")]
    NegativeCap(Role),
    #[error("the directory file cannot be read")]
    Syntax(#[source] serde_saphyr::Error),
}

impl TryFrom<RawDirectory> for Directory {
    type Error = InvalidDirectory;
    fn try_from(raw: RawDirectory) -> Result<Self, InvalidDirectory> {
        let mut seen = BTreeSet::new();
        if let Some(double) = raw.limits.iter().find(|limit| !seen.insert(&limit.name)) {
            return Err(InvalidDirectory::TwoLimits(double.name.clone()));
        }
        if let Some(rule) = raw.overrides.iter().find(|rule| rule.cap.minor < 0) {
            return Err(InvalidDirectory::NegativeCap(rule.role.clone()));
        }
        let people = checked(raw.people)?;
        Ok(Self::of(File { people, limits: raw.limits, overrides: raw.overrides }))
    }
}

fn checked(people: Vec<Person>) -> Result<Vec<Person>, InvalidDirectory> {
    let mut seen = BTreeSet::new();
    match people.iter().find(|person| !seen.insert(&person.id)) {
        Some(double) => Err(InvalidDirectory::TwoPeople(double.id.clone())),
        None => Ok(people),
    }
}

impl Directory {
    /// # Errors
    /// [`InvalidDirectory::TwoPeople`] when an id occurs twice.
    pub fn new(people: Vec<Person>) -> Result<Self, InvalidDirectory> {
        Ok(Self::of(File { people: checked(people)?, ..File::default() }))
    }

    fn of(file: File) -> Self {
        Self { file: Arc::new(file), standing: Standing::default() }
    }

    /// Reads the operator's YAML or JSON file.
    ///
    /// # Errors
    /// [`InvalidDirectory::Syntax`], whose source says line and column.
    pub fn parse(text: &str) -> Result<Self, InvalidDirectory> {
        serde_saphyr::from_str(text).map_err(InvalidDirectory::Syntax)
    }

    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.file.people
    }

    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.file.limits
    }

    #[must_use]
    pub fn overrides(&self) -> &[OverrideRule] {
        &self.file.overrides
    }

    /// The directory as it counts for one request at one moment.
    #[must_use]
    pub fn for_matter(&self, standing: Standing) -> Self {
        Self { file: Arc::clone(&self.file), standing }
    }

    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Every limit that may bind this person in some matter.
    pub fn limits_of<'a>(&'a self, person: &'a Person) -> impl Iterator<Item = &'a Limit> {
        Limits(&self.file.limits).of(person)
    }

    /// Whether a limit is stated for this person in such a matter.
    #[must_use]
    pub fn is_limited(&self, person: &Person, matter: &Matter) -> bool {
        Limits(&self.file.limits).bind(person, matter)
    }

    /// Whether this person's own authority reaches for the matter, after what was `given` on it before.
    ///
    /// # Errors
    /// [`OverLimit`]: which limit, and what it leaves.
    pub fn room(
        &self,
        person: &Person,
        matter: &Matter,
        given: &[Given],
        now: Timestamp,
        convert: Convert<'_>,
    ) -> Result<(), OverLimit> {
        Limits(&self.file.limits).room(person, matter, given, now, convert)
    }

    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.file.people.iter().find(|person| &person.id == id)
    }

    /// Who holds `role` for `site`; without a site, who holds it anywhere. In the order of the file.
    pub fn holders<'a>(&'a self, role: &'a Role, site: Option<&'a Site>) -> impl Iterator<Item = &'a Person> {
        self.file.people.iter().filter(move |person| {
            person.roles.iter().any(|held| held.role == *role && site.is_none_or(|site| held.covers(site)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
people:
  - id: olga
    name: Olga
    roles: [{role: regional_ops, region: north}]
  - id: mia
    name: Mia
    roles: [{role: store_manager, location: store-1}, {role: finance}]
";

    fn holders(directory: &Directory, role: &str, site: Option<Site>) -> Vec<String> {
        let role = Role::new(role).unwrap();
        directory.holders(&role, site.as_ref()).map(|person| person.id.to_string()).collect()
    }

    #[test]
    fn a_role_counts_only_where_it_is_held() {
        let directory = Directory::parse(FILE).unwrap();
        let north = Site { location: None, region: Some(RegionId::new("north").unwrap()) };
        let store = Site { location: Some(LocationId::new("store-1").unwrap()), region: None };
        assert_eq!(holders(&directory, "regional_ops", Some(north.clone())), ["olga"]);
        assert!(holders(&directory, "regional_ops", Some(store.clone())).is_empty());
        assert_eq!(holders(&directory, "store_manager", Some(store)), ["mia"]);
        assert_eq!(holders(&directory, "finance", Some(north)), ["mia"]);
        assert!(holders(&directory, "regional_ops", Some(Site::default())).is_empty(), "an unknown region is nobody's");
        assert_eq!(holders(&directory, "regional_ops", None), ["olga"]);
    }

    #[test]
    fn one_id_is_one_person() {
        let twice = "{people: [{id: mia, name: A}, {id: mia, name: B}]}";
        let error = Directory::parse(twice).unwrap_err();
        assert!(matches!(&error, InvalidDirectory::Syntax(source) if source.to_string().contains("mia")), "{error:?}");
    }
}
