//! `/v1/models`: which versions there are, and how a new one comes to judge.

use actix_web::{get, post, web};
use chassis::prelude::*;
use contracts::events::ModelActivated;
use models::{
    ModelRef, ParameterError,
    catalogue::{Entry, EntryError},
    metrics::{Figure, Figures},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{KeepCases, PublishModels, ReadRecommendations};
use crate::{
    shelf::Changes,
    store::versions::{self, Published},
};

/// Most cases of one request.
const MOST_CASES: usize = 10_000;
/// Most cases of a set, which is held in memory while two versions are measured over it.
const MOST_KEPT: u64 = 200_000;

/// Every model of this service, by name.
pub(crate) struct Models(pub(crate) &'static [Entry]);

impl Models {
    pub(super) fn find(&self, name: &str) -> Result<&'static Entry, ApiError> {
        self.0.iter().find(|entry| entry.name == name).ok_or_else(|| ApiError::not_found("model"))
    }
}

/// A model and which of its versions judges.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ModelView {
    #[schema(example = "replenishment-priority")]
    name: &'static str,
    /// The version that judges unless another one is asked for.
    active: String,
    /// The version that comes with the program.
    shipped: String,
}

/// Every model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ModelList {
    items: Vec<ModelView>,
}

/// A version of a model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VersionView {
    #[schema(example = "replenishment-priority")]
    model: &'static str,
    version: String,
    /// SHA-256 over the canonical JSON of its parameters.
    #[schema(value_type = Digest)]
    digest: String,
    /// Whether it judges unless another one is asked for.
    active: bool,
    /// Whether it comes with the program; all others were published.
    shipped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<Timestamp>,
    /// What it reached, beside the version that judged before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Comparison>)]
    comparison: Option<Box<RawValue>>,
    /// Why it was published although it measured worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The whole parameter file; only when one version is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
}

/// The versions of a model: the latest published first, the shipped one last.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VersionList {
    items: Vec<VersionView>,
}

/// Two versions over the same cases. A figure that is not defined on them is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Comparison {
    /// The version that judged before.
    against: String,
    before: Figures,
    after: Figures,
}

/// Parameters to publish, and the cases to measure them on: `cases` or `case_set`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publication {
    /// The whole parameter file, with the name of the version in it.
    #[schema(value_type = Object)]
    parameters: Box<RawValue>,
    /// `{request, outcome}` each, in the model's own types; cases that the parameters were not fitted to.
    #[schema(value_type = Option<Vec<Object>>, min_items = 1, max_items = 10_000)]
    cases: Option<Vec<Box<RawValue>>>,
    /// A set of cases that was kept before.
    #[schema(min_length = 1, max_length = 100)]
    case_set: Option<String>,
    /// Publish it although it measures worse, or cannot be compared.
    #[serde(default)]
    force: bool,
    /// Kept with who forced it; needed to force.
    #[schema(min_length = 3, max_length = 1000)]
    reason: Option<String>,
}

/// Why an older version is to judge again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activation {
    /// Kept with who activated it.
    #[schema(min_length = 3, max_length = 1000)]
    reason: String,
}

/// Cases with known outcomes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCases {
    /// The set that they are added to.
    #[schema(min_length = 1, max_length = 100, example = "resolved-2026-11")]
    set: String,
    /// `{request, outcome}` each, in the model's own types.
    #[schema(value_type = Vec<Object>, min_items = 1, max_items = 10_000)]
    cases: Vec<Box<RawValue>>,
}

/// How many cases a set holds now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CaseSet {
    model: &'static str,
    set: String,
    cases: u64,
}

/// The models, and which version of each judges.
#[utoipa::path(tag = "models", responses((status = 200, body = ModelList), Problems))]
#[get("/v1/models")]
pub(crate) async fn list_models(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    models: web::Data<Models>,
) -> Result<web::Json<ModelList>, ApiError> {
    let mut reader = cx.store().read().await?;
    let mut items = Vec::new();
    for entry in models.0 {
        let standing = Standing::read(&mut reader, entry).await?;
        let active = standing.active().to_owned();
        items.push(ModelView { name: entry.name, active, shipped: standing.shipped.version });
    }
    Ok(web::Json(ModelList { items }))
}

/// The versions of a model, the latest first.
#[utoipa::path(tag = "models", responses((status = 200, body = VersionList), Problems))]
#[get("/v1/models/{name}/versions")]
pub(crate) async fn list_versions(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    models: web::Data<Models>,
    name: PathOf<String>,
) -> Result<web::Json<VersionList>, ApiError> {
    let entry = models.find(&name)?;
    let mut reader = cx.store().read().await?;
    let standing = Standing::read(&mut reader, entry).await?;
    let published = versions::list(&mut reader, entry.name).await?;
    let mut items: Vec<_> = published.into_iter().map(|one| standing.view(one)).collect();
    items.push(standing.view_of_shipped());
    Ok(web::Json(VersionList { items }))
}

/// One version with its parameters.
#[utoipa::path(tag = "models", responses((status = 200, body = VersionView), Problems))]
#[get("/v1/models/{name}/versions/{version}")]
pub(crate) async fn get_version(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    models: web::Data<Models>,
    path: PathOf<(String, String)>,
) -> Result<web::Json<VersionView>, ApiError> {
    let (name, version) = path.into_inner();
    let mut reader = cx.store().read().await?;
    let standing = Standing::read(&mut reader, models.find(&name)?).await?;
    let (view, parameters) = standing.version(&mut reader, &version).await?;
    let parameters = RawValue::from_string(parameters).map_err(StoreError::from)?;
    Ok(web::Json(VersionView { parameters: Some(parameters), ..view }))
}

/// Publishes parameters: they are measured beside the active version over the same cases, and judge from then on.
///
/// A version whose first figure is worse is refused, unless it is forced with a reason. The version's name is in the
/// parameters and is taken once: the same parameters again change nothing, others under that name are refused.
///
/// The body may have 16 MiB, since a fitted model can be a forest.
#[utoipa::path(tag = "models", request_body = Publication, responses(
    (status = 201, description = "It judges from now on", body = VersionView),
    (status = 200, description = "It was published before", body = VersionView), Problems))]
#[post("/v1/models/{name}/versions")]
pub(crate) async fn publish_version(
    cx: Cx,
    caller: Caller<PublishModels>,
    (models, changes): (web::Data<Models>, web::Data<Changes>),
    name: PathOf<String>,
    body: LargeBody<Publication>,
) -> Result<Answer, ApiError> {
    let entry = models.find(&name)?;
    let publication = body.into_inner();
    let forced = forced(&publication)?;
    let parameters = publication.parameters.get().to_owned();
    let new = entry.reference(&parameters).map_err(|error| unusable(&error))?;
    let mut reader = cx.store().read().await?;
    let standing = Standing::read(&mut reader, entry).await?;
    if let Some(same) = standing.same(&mut reader, &new).await? {
        return Answer::new(&Reply::ok(same));
    }
    let (_, current) = standing.version(&mut reader, standing.active()).await?;
    let cases = holdout(&mut reader, entry, publication.cases, publication.case_set.as_deref()).await?;
    drop(reader);
    let (against, measured) = (standing.active().to_owned(), parameters.clone());
    let compared = web::block(move || compare(entry, (&against, &current), &measured, &cases)).await;
    let (comparison, refusal) = compared.map_err(ApiError::internal)??;
    let reason = match (refusal, forced) {
        (Some(refusal), None) => return Err(refusal),
        (Some(_), Some(reason)) => Some(reason),
        (None, _) => None,
    };
    let mut tx = cx.store().begin().await?;
    let published = Published {
        version: new.version.clone(),
        parameters,
        digest: new.parameters.to_string(),
        comparison: serde_json::value::to_raw_value(&comparison).map_err(StoreError::from)?,
        reason: reason.clone(),
        published_by: caller.actor(),
        published_at: tx.now(),
    };
    if !versions::add(&mut tx, entry.name, &published).await? {
        return Err(taken(&new));
    }
    let details = json!({"digest": published.digest, "comparison": published.comparison, "forced_because": reason});
    tx.audit(&published.published_by, "model.published", &subject(&new), details).await?;
    standing.switch(&mut tx, &published.published_by, &new, reason).await?;
    tx.commit().await?;
    changes.count_up();
    Answer::new(&Reply::created(VersionView { active: true, ..standing.view(published) }))
}

/// Makes a version judge that was published before, or the shipped one.
#[utoipa::path(tag = "models", request_body = Activation, responses((status = 200, body = VersionView), Problems))]
#[post("/v1/models/{name}/versions/{version}/activate")]
pub(crate) async fn activate_version(
    cx: Cx,
    caller: Caller<PublishModels>,
    (models, changes): (web::Data<Models>, web::Data<Changes>),
    path: PathOf<(String, String)>,
    body: Body<Activation>,
) -> Result<web::Json<VersionView>, ApiError> {
    let (name, version) = path.into_inner();
    let entry = models.find(&name)?;
    let reason = sound_reason(&body.into_inner().reason)?;
    let mut tx = cx.store().begin().await?;
    let standing = Standing::read(tx.conn(), entry).await?;
    let (view, parameters) = standing.version(tx.conn(), &version).await?;
    if !view.active {
        let reference = entry.reference(&parameters).map_err(ApiError::internal)?;
        standing.switch(&mut tx, &caller.actor(), &reference, Some(reason)).await?;
        tx.commit().await?;
        changes.count_up();
    }
    Ok(web::Json(VersionView { active: true, ..view }))
}

/// Keeps cases with known outcomes, to compare versions on and to fit new ones to.
#[utoipa::path(tag = "models", request_body = NewCases,
    responses((status = 201, description = "Kept", body = CaseSet), Problems))]
#[post("/v1/models/{name}/cases")]
pub(crate) async fn keep_cases(
    cx: Cx,
    caller: Caller<KeepCases>,
    models: web::Data<Models>,
    name: PathOf<String>,
    body: Body<NewCases>,
) -> Result<Answer, ApiError> {
    let entry = models.find(&name)?;
    let NewCases { set, cases } = body.into_inner();
    if !(1..=100).contains(&set.len()) {
        return Err(ApiError::invalid_field("/set", "must have 1 to 100 bytes"));
    }
    sound_count(cases.len())?;
    let (cases, refused) = web::block(move || {
        let texts: Vec<&str> = cases.iter().map(|case| case.get()).collect();
        // Measured over by the shipped version, so that a case that nobody could use is refused here and not later.
        let refused = entry.backtest(&[entry.standard], &texts).err();
        (cases, refused)
    })
    .await
    .map_err(ApiError::internal)?;
    if let Some(error) = refused {
        return Err(unusable_case(error, 0));
    }
    let mut tx = cx.store().begin().await?;
    let before = versions::count_cases(tx.conn(), entry.name, &set).await?;
    let count = before + cases.len() as u64;
    if count > MOST_KEPT {
        return Err(ApiError::invalid_field(
            "/cases",
            format!("the set would have {count} cases, at most {MOST_KEPT}"),
        ));
    }
    versions::keep_cases(&mut tx, &caller.actor(), (entry.name, &set), &cases).await?;
    let details = json!({"set": set, "added": cases.len()});
    tx.audit(&caller.actor(), "model.cases_kept", &format!("model:{}", entry.name), details).await?;
    tx.commit().await?;
    Answer::new(&Reply::created(CaseSet { model: entry.name, set, cases: count }))
}

/// The reason to force with, `None` when it is not forced.
fn forced(publication: &Publication) -> Result<Option<String>, ApiError> {
    if !publication.force {
        return Ok(None);
    }
    match publication.reason.as_deref() {
        Some(reason) => sound_reason(reason).map(Some),
        None => Err(ApiError::invalid_field("/reason", "is needed to force")),
    }
}

fn sound_reason(reason: &str) -> Result<String, ApiError> {
    match reason.trim() {
        told if (3..=1000).contains(&told.len()) => Ok(told.to_owned()),
        _ => Err(ApiError::invalid_field("/reason", "must have 3 to 1000 bytes")),
    }
}

fn sound_count(cases: usize) -> Result<(), ApiError> {
    match cases {
        1..=MOST_CASES => Ok(()),
        _ => Err(ApiError::invalid_field("/cases", format!("must have 1 to {MOST_CASES} items, has {cases}"))),
    }
}

/// The cases that are given, or those of the set that is named.
pub(super) async fn holdout(
    reader: &mut sqlx::AnyConnection,
    entry: &Entry,
    given: Option<Vec<Box<RawValue>>>,
    set: Option<&str>,
) -> Result<Vec<String>, ApiError> {
    match (given, set) {
        (Some(cases), None) => {
            sound_count(cases.len())?;
            Ok(cases.into_iter().map(|case| case.get().to_owned()).collect())
        }
        (None, Some(set)) => match versions::cases(reader, entry.name, set).await? {
            cases if cases.is_empty() => Err(ApiError::invalid_field("/case_set", "holds no case")),
            cases => Ok(cases),
        },
        _ => Err(ApiError::invalid_field("/cases", "either cases or case_set must be given, and not both")),
    }
}

/// Measures both versions, and says why the new one is not to be published, if it is not.
fn compare(
    entry: &Entry,
    (against, current): (&str, &str),
    new: &str,
    cases: &[String],
) -> Result<(Comparison, Option<ApiError>), ApiError> {
    let texts: Vec<&str> = cases.iter().map(String::as_str).collect();
    let comparison = measured(entry, (against, current), new, (0, &texts))?;
    let refusal = refusal(against, &comparison.before, &comparison.after);
    Ok((comparison, refusal))
}

/// Both versions over the same cases, which so many come before.
pub(super) fn measured(
    entry: &Entry,
    (against, current): (&str, &str),
    new: &str,
    (before, cases): (usize, &[&str]),
) -> Result<Comparison, ApiError> {
    let figures = entry.backtest(&[current, new], cases).map_err(|error| unusable_case(error, before))?;
    let [before, after] = <[Figures; 2]>::try_from(figures).map_err(|_| ApiError::internal("two were measured"))?;
    Ok(Comparison { against: against.to_owned(), before, after })
}

/// The first figure decides between versions, if both answer as many of the cases: who leaves the hard ones out has not
/// judged better.
fn refusal(against: &str, before: &Figures, after: &Figures) -> Option<ApiError> {
    let answered = |figures: &Figures| figures.cases - figures.insufficient - figures.refused;
    if answered(after) < answered(before) {
        let (new, old, cases) = (answered(after), answered(before), after.cases);
        let detail = format!("the new version answers {new} of these {cases} cases, version {against} {old}");
        return Some(ApiError::conflict("worse-version", "The new version is worse", detail));
    }
    let value = |figure: &&Figure| figure.value.is_finite();
    let (old, new) = (before.figures.first().filter(value), after.figures.first().filter(value));
    let (Some(old), Some(new)) = (old, new.filter(|new| old.is_some_and(|old| old.name == new.name))) else {
        let name = after.figures.first().map_or("the deciding figure", |figure| figure.name.as_str());
        let detail = format!("{name} is not defined on these {} cases for both; give more, or force it", after.cases);
        return Some(ApiError::conflict("not-comparable", "The versions cannot be compared", detail));
    };
    new.worse_than(old.value).then(|| {
        let detail = format!(
            "{} is {:.6} with the new version and {:.6} with version {against}, over the same {} cases",
            new.name, new.value, old.value, after.cases
        );
        ApiError::conflict("worse-version", "The new version is worse", detail)
    })
}

fn subject(model: &ModelRef) -> String {
    format!("model:{}@{}", model.name, model.version)
}

fn taken(new: &ModelRef) -> ApiError {
    let detail = format!("version {} of {} has other parameters; give yours another name", new.version, new.name);
    ApiError::conflict("version-taken", "The version's name is taken", detail)
}

fn unusable(error: &ParameterError) -> ApiError {
    let pointer = match error {
        ParameterError::Range { pointer, .. } => format!("/parameters{pointer}"),
        ParameterError::Form { .. } => "/parameters".to_owned(),
    };
    ApiError::invalid_field(pointer, chassis::chain(error))
}

/// Names a case that cannot be used, by its place after so many others.
pub(super) fn unusable_case(error: EntryError, before: usize) -> ApiError {
    match &error {
        EntryError::Case { number, pointer, source, .. } => {
            ApiError::invalid_field(format!("/cases/{}{pointer}", before + number - 1), source.to_string())
        }
        EntryError::Parameters(_) | EntryError::Fit(_) => ApiError::internal(error),
    }
}

/// Which version of a model judges, as the store says.
pub(super) struct Standing {
    entry: &'static Entry,
    shipped: ModelRef,
    /// `None` as long as the shipped version was never replaced.
    stored: Option<String>,
}

impl Standing {
    pub(super) async fn read(conn: &mut sqlx::AnyConnection, entry: &'static Entry) -> Result<Self, ApiError> {
        let shipped = entry.reference(entry.standard).map_err(ApiError::internal)?;
        Ok(Self { entry, shipped, stored: versions::active(conn, entry.name).await? })
    }

    pub(super) fn active(&self) -> &str {
        self.stored.as_deref().unwrap_or(&self.shipped.version)
    }

    /// A version and its parameters.
    pub(super) async fn version(
        &self,
        conn: &mut sqlx::AnyConnection,
        version: &str,
    ) -> Result<(VersionView, String), ApiError> {
        if version == self.shipped.version {
            return Ok((self.view_of_shipped(), self.entry.standard.to_owned()));
        }
        let found = versions::find(conn, self.entry.name, version).await?;
        let found = found.ok_or_else(|| ApiError::not_found("version"))?;
        let parameters = found.parameters.clone();
        Ok((self.view(found), parameters))
    }

    /// The version of that name if it is the same; refused when it is another one.
    async fn same(&self, conn: &mut sqlx::AnyConnection, new: &ModelRef) -> Result<Option<VersionView>, ApiError> {
        let known = match versions::find(conn, self.entry.name, &new.version).await? {
            Some(found) => self.view(found),
            None if new.version == self.shipped.version => self.view_of_shipped(),
            None => return Ok(None),
        };
        if known.digest == new.parameters.as_str() { Ok(Some(known)) } else { Err(taken(new)) }
    }

    /// Makes a version the active one, leaves a leaf and tells of it.
    async fn switch(&self, tx: &mut Tx, actor: &str, new: &ModelRef, reason: Option<String>) -> Result<(), ApiError> {
        if !versions::activate(tx, &new.name, self.stored.as_deref(), &new.version).await? {
            let detail = "Another version was activated meanwhile: look at it, then decide anew.";
            return Err(ApiError::conflict("version-changed", "The active version has changed", detail));
        }
        let activated = ModelActivated {
            model: new.name.clone(),
            version: new.version.clone(),
            parameters: new.parameters.clone(),
            previous: self.active().to_owned(),
            reason,
            activated_by: actor.to_owned(),
        };
        let details = serde_json::to_value(&activated).map_err(StoreError::from)?;
        tx.audit(actor, "model.activated", &subject(new), details).await?;
        tx.emit(&activated).await?;
        Ok(())
    }

    fn view_of_shipped(&self) -> VersionView {
        VersionView {
            model: self.entry.name,
            active: self.active() == self.shipped.version,
            version: self.shipped.version.clone(),
            digest: self.shipped.parameters.to_string(),
            shipped: true,
            published_by: None,
            published_at: None,
            comparison: None,
            reason: None,
            parameters: None,
        }
    }

    fn view(&self, one: Published) -> VersionView {
        VersionView {
            model: self.entry.name,
            active: self.active() == one.version,
            version: one.version,
            digest: one.digest,
            shipped: false,
            published_by: Some(one.published_by),
            published_at: Some(one.published_at),
            comparison: Some(one.comparison),
            reason: one.reason,
            parameters: None,
        }
    }
}
