//! The people who may decide, and the roles they hold and where.

use std::collections::BTreeSet;

use contracts::{LocationId, PersonId, RegionId};
use serde::{Deserialize, Serialize};

use crate::{Role, Site};

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
    fn covers(&self, site: &Site) -> bool {
        let region = self.region.is_none() || self.region == site.region;
        let location = self.location.is_none() || self.location == site.location;
        region && location
    }
}

/// Everybody, as the operator's file names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "RawDirectory")]
pub struct Directory {
    people: Vec<Person>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDirectory {
    people: Vec<Person>,
}

/// Why people do not make a directory.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDirectory {
    #[error("two people have the id {0}")]
    TwoPeople(PersonId),
    #[error("the directory file cannot be read")]
    Syntax(#[source] serde_saphyr::Error),
}

impl TryFrom<RawDirectory> for Directory {
    type Error = InvalidDirectory;
    fn try_from(raw: RawDirectory) -> Result<Self, InvalidDirectory> {
        Self::new(raw.people)
    }
}

impl Directory {
    /// # Errors
    /// [`InvalidDirectory::TwoPeople`] when an id occurs twice.
    pub fn new(people: Vec<Person>) -> Result<Self, InvalidDirectory> {
        let mut seen = BTreeSet::new();
        match people.iter().find(|person| !seen.insert(&person.id)) {
            Some(double) => Err(InvalidDirectory::TwoPeople(double.id.clone())),
            None => Ok(Self { people }),
        }
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
        &self.people
    }

    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.people.iter().find(|person| &person.id == id)
    }

    /// Who holds `role` for `site`; without a site, who holds it anywhere. In the order of the file.
    pub fn holders<'a>(&'a self, role: &'a Role, site: Option<&'a Site>) -> impl Iterator<Item = &'a Person> {
        self.people.iter().filter(move |person| {
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
