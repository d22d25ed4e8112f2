//! What all OpenAPI documents share: how to authenticate, the problem answers, and path parameters from the template.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use actix_web::http::header::HeaderValue;
use contracts::{Problem, problem::PROBLEM_JSON};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Components, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Required,
        path::{Operation, ParameterBuilder, ParameterIn},
        response::{Response, ResponseBuilder},
        schema::{AdditionalProperties, Object, ObjectBuilder, Schema, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::auth::SESSION_COOKIE;

/// The refusals and failures that any operation may answer with, for `responses(..., Problems)`.
pub struct Problems;

const ANSWERS: [(&str, &str); 13] = [
    ("400", "It cannot be read, or a parameter or header is wrong"),
    ("401", "No valid credential"),
    ("403", "The caller has no role that permits it"),
    ("404", "There is no such thing"),
    ("405", "Another method is needed"),
    ("409", "The state of things stands against it, or the first request with this key is still running"),
    ("412", "Its version is not the current one"),
    ("413", "The body is too large"),
    ("415", "The content type is not accepted"),
    ("422", "A field is invalid; `errors` names each by JSON pointer"),
    ("429", "Too many requests; `Retry-After` says when to come back"),
    ("500", "Our mistake; `trace_id` leads to the cause"),
    ("503", "Temporarily unavailable; `Retry-After` says when to come back"),
];

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let answer = |about: &str| {
            let schema = Ref::from_schema_name(Problem::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            ResponseBuilder::new().description(about).content(PROBLEM_JSON, content).build()
        };
        ANSWERS.iter().map(|(status, about)| ((*status).to_owned(), answer(about).into())).collect()
    }
}

/// Adds to a service's document what its handlers do not say one by one.
pub(crate) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    let mut referenced = Vec::new();
    Problem::schemas(&mut referenced);
    referenced.push((Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema()));
    components.schemas.extend(referenced);
    merge_tagged(components);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("API key: `Authorization: Bearer stw_<id>_<secret>`"))
        .build();
    components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("Webhooks of systems that can send no other credential: user and password in the URL"))
        .build();
    components.add_security_scheme("webhook", SecurityScheme::Http(basic));
    let session = ApiKeyValue::with_description(SESSION_COOKIE, "Session of the console");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    let either = ["api_key", "session"].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()));
    document.security = Some(either.into());
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            name_path_parameters(path, operation);
        }
    }
}

/// A variant that is a type of its own is described as that type *and* an object with the tag. Where the type allows no
/// unknown fields, the tag is one, and nothing would fit: such a variant becomes one object that has both.
fn merge_tagged(components: &mut Components) {
    let types = components.schemas.clone();
    let closed = |variant: &RefOr<Schema>| -> Option<Object> {
        let RefOr::Ref(reference) = variant else { return None };
        let name = reference.ref_location.rsplit('/').next()?;
        match types.get(name)? {
            RefOr::T(Schema::Object(object)) => match object.additional_properties.as_deref() {
                Some(AdditionalProperties::FreeForm(false)) => Some(object.clone()),
                _ => None,
            },
            _ => None,
        }
    };
    let merged = |variant: &Schema| -> Option<Object> {
        let Schema::AllOf(both) = variant else { return None };
        let [own, RefOr::T(Schema::Object(tag))] = both.items.as_slice() else { return None };
        let mut whole = closed(own)?;
        whole.properties.extend(tag.properties.clone());
        whole.required.extend(tag.required.iter().cloned());
        whole.description.clone_from(&both.description);
        Some(whole)
    };
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::OneOf(choice)) = schema else { continue };
        for variant in &mut choice.items {
            if let RefOr::T(both) = variant
                && let Some(whole) = merged(both)
            {
                *both = Schema::Object(whole);
            }
        }
    }
}

/// `{id}` in the template is a parameter whether or not the handler documents it.
fn name_path_parameters(path: &str, operation: &mut Operation) {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next());
    for name in names {
        let parameters = operation.parameters.get_or_insert_with(Vec::new);
        let documented = |parameter: &RefOr<utoipa::openapi::path::Parameter>| matches!(parameter, RefOr::T(known) if known.name == name && known.parameter_in == ParameterIn::Path);
        if !parameters.iter().any(documented) {
            let parameter = ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build();
            parameters.push(RefOr::T(parameter));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, head, options, .. } = item;
    [get, put, post, delete, patch, head, options].into_iter().flatten()
}

/// The methods of each path, for the `Allow` header of a 405: actix does not know the methods that it did not match.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Arc<HashMap<String, String>>);

impl Allowed {
    #[must_use]
    pub fn of<'d>(documents: impl IntoIterator<Item = &'d OpenApi>) -> Self {
        let mut methods = HashMap::new();
        for (path, item) in documents.into_iter().flat_map(|document| &document.paths.paths) {
            let known = [
                ("GET", &item.get),
                // Answered for whatever can be got; see `http::layers`.
                ("HEAD", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("DELETE", &item.delete),
                ("PATCH", &item.patch),
                ("OPTIONS", &item.options),
            ];
            let names: Vec<&str> =
                known.iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| *name).collect();
            methods.insert(path.clone(), names.join(", "));
        }
        Self(Arc::new(methods))
    }

    pub(crate) fn header(&self, pattern: &str) -> Option<HeaderValue> {
        self.0.get(pattern).and_then(|methods| HeaderValue::try_from(methods).ok())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use utoipa::{PartialSchema, openapi::ComponentsBuilder};

    use super::*;

    #[derive(Deserialize, utoipa::ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Days {
        units: Vec<f64>,
    }

    #[derive(Deserialize, utoipa::ToSchema)]
    #[serde(tag = "grain", rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Series {
        /// Units sold per day.
        Day(Days),
    }

    #[test]
    fn a_tagged_variant_of_a_strict_type_is_one_object_with_the_tag() {
        let types = ComponentsBuilder::new().schema("Days", Days::schema()).schema("Series", Series::schema());
        let mut components = types.build();
        merge_tagged(&mut components);
        let series = serde_json::to_value(&components.schemas["Series"]).unwrap();
        let day = &series["oneOf"][0];
        assert_eq!(day["required"], serde_json::json!(["units", "grain"]));
        assert_eq!(day["properties"]["grain"]["enum"], serde_json::json!(["day"]));
        assert_eq!((&day["additionalProperties"], &day["description"]), (&false.into(), &"Units sold per day.".into()));
    }
}
