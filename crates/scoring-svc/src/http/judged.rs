//! What every model's routes have in common: one at once, many in a batch, many in a stream, each by the active version
//! or by an older one that is named. [`judged!`] stamps them for a model, so that each is documented in its own types.

use std::{marker::PhantomData, sync::Arc};

use actix_web::{HttpResponse, web};
use chassis::{
    http::{Ndjson, parse_json},
    prelude::*,
};
use memchr::memmem;
use models::Judge;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{shelf::Shelf, store::recommendations};

/// Most items of a batch or a ranking.
pub(super) const MOST_ITEMS: usize = 10_000;

/// What the routes need to know of a model beyond judging.
pub(crate) trait Served: Judge {
    /// Whether resolved cases teach it between fits.
    const LEARNS: bool = false;

    /// The switch of what costs several times the score; in bulk it is off unless it is asked for.
    fn explain(request: &mut Self::Request) -> &mut bool;

    /// The model with what it has learnt, from the JSON in which that is kept.
    ///
    /// # Errors
    /// Why the state is none of this model's.
    fn taught(&self, _state: &str) -> Result<Self, String> {
        Err(format!("{} learns from no cases", Self::NAME))
    }

    /// What these resolved cases (JSON, oldest first) teach it: how many of them did, and the JSON of that. A case that
    /// this version cannot read, or whose class it does not know, teaches it nothing.
    ///
    /// # Errors
    /// When it learns from no cases.
    fn relearn(&self, _cases: &[String]) -> Result<(i64, String), String> {
        Err(format!("{} learns from no cases", Self::NAME))
    }
}

/// A model some of whose answers are recommendations: those are kept, and an outcome is matched to them later.
pub(crate) trait Recommends: Served {
    /// What makes a request this question and no other, for its idempotency key.
    type Question: Serialize + Send + Sync;

    fn question(request: &Self::Request) -> Self::Question;

    /// What is wrong with a request beyond what the model checks by itself.
    fn refuse(request: &Self::Request) -> Option<FieldError>;

    /// What an answer recommends; `None` for one that judges nothing.
    ///
    /// # Errors
    /// When the facts have no JSON form.
    fn recommended(
        request: &Self::Request,
        answer: &Self::Answer,
    ) -> Result<Option<recommendations::Recommended>, StoreError>;
}

/// Which version of the model is to judge.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    /// A version that was published; the active one when absent. The answer names the one that judged.
    #[param(example = "1", min_length = 1, max_length = 64)]
    pub version: Option<String>,
}

/// The model's answer, and where it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ScoredReply<A> {
    #[serde(flatten)]
    pub judgement: A,
    /// Under `/recommendations/{id}`; absent with `insufficient_data`, of which nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<String>,
}

/// Many items of which each is judged by itself.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, bound = "")]
pub(crate) struct BatchRequest<R> {
    /// Read one by one, so that a bad one costs only itself.
    #[schema(value_type = Vec<R>, min_items = 1, max_items = 10_000)]
    items: Vec<Box<RawValue>>,
    #[serde(skip)]
    #[schema(ignore)]
    of: PhantomData<R>,
}

/// One answer per item, in the same order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BatchReply<A> {
    items: Vec<BatchItem<A>>,
}

/// An answer, or what is wrong with the item.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchItem<A> {
    Judged(A),
    Refused { problem: Problem },
}

/// Judges one request; nothing is kept.
pub(crate) async fn judge<J: Served>(
    cx: &Cx,
    shelf: &Shelf<J>,
    version: Version,
    request: J::Request,
) -> Result<web::Json<J::Answer>, ApiError> {
    let model = shelf.model(cx, version.version.as_deref()).await?;
    let judged = web::block(move || model.judge(&request)).await.map_err(ApiError::internal)?;
    judged.map(web::Json).map_err(ApiError::invalid)
}

/// Judges one request and keeps what is recommended, once per key.
pub(crate) async fn recommend<J: Recommends>(
    (cx, caller, key): (&Cx, &Principal, &IdempotencyKey),
    shelf: &Shelf<J>,
    version: Version,
    request: J::Request,
) -> Result<Answer, ApiError> {
    if let Some(error) = J::refuse(&request) {
        return Err(ApiError::invalid(vec![error]));
    }
    let model = shelf.model(cx, version.version.as_deref()).await?;
    // Not the facts' values: the same event seen twice asks the same question, and its second asker must get the first
    // answer even when stock has moved meanwhile.
    let fingerprint = (J::question(&request), version.version);
    // Judged before the transaction opens, which then holds the store's lock for the rows alone.
    let judged = web::block(move || model.judge(&request).map(|judgement| (request, judgement))).await;
    let (request, judgement) = judged.map_err(ApiError::internal)?.map_err(ApiError::invalid)?;
    let recommended = J::recommended(&request, &judgement)?;
    let recommended = recommended.map(|one| serde_json::to_string(&judgement).map(|text| (one, text)));
    let recommended = recommended.transpose().map_err(StoreError::from)?;
    let (actor, route) = (caller.actor(), J::NAME);
    let answer = command(cx, caller, route, key, &fingerprint, |tx| {
        Box::pin(async move {
            let recommendation_id = match recommended {
                Some((recommended, text)) => Some(recommendations::keep(tx, &actor, &recommended, text).await?),
                None => None,
            };
            Ok(Reply::ok(ScoredReply { judgement, recommendation_id }))
        })
    });
    answer.await
}

/// Judges up to [`MOST_ITEMS`] items, a bad one has its problem in its place.
pub(crate) async fn batch<J: Served>(
    cx: &Cx,
    shelf: &Shelf<J>,
    version: Version,
    request: BatchRequest<J::Request>,
) -> Result<web::Json<BatchReply<J::Answer>>, ApiError> {
    let model = shelf.model(cx, version.version.as_deref()).await?;
    each(request, move |text| judge_text::<J, _>(text, |request| model.judge(&request))).await
}

/// Answers each item of a batch in its place.
pub(super) async fn each<R, A: Send + 'static>(
    request: BatchRequest<R>,
    judge: impl Fn(&[u8]) -> Result<A, Problem> + Send + 'static,
) -> Result<web::Json<BatchReply<A>>, ApiError> {
    let items = request.items;
    within_limit(items.len())?;
    let judge_item = move |raw: &RawValue| match judge(raw.get().as_bytes()) {
        Ok(judgement) => BatchItem::Judged(judgement),
        Err(problem) => BatchItem::Refused { problem },
    };
    // On a thread of its own: an HTTP worker that computes answers nobody else meanwhile.
    let judged = web::block(move || items.iter().map(|raw| judge_item(raw)).collect()).await;
    Ok(web::Json(BatchReply { items: judged.map_err(ApiError::internal)? }))
}

/// Judges line by line; a bad line has its problem in its place. One version judges the whole stream.
pub(crate) async fn stream<J: Served>(
    cx: &Cx,
    shelf: &Shelf<J>,
    version: Version,
    lines: Ndjson,
) -> Result<HttpResponse, ApiError> {
    let model: Arc<J> = shelf.model(cx, version.version.as_deref()).await?;
    Ok(lines.each(move |line| judge_text::<J, _>(line, |request| model.judge(&request))))
}

/// Reads one item of many, and judges it without explanation unless it asks for one.
pub(super) fn judge_text<J: Served, A>(
    text: &[u8],
    judge: impl FnOnce(J::Request) -> Result<A, Vec<FieldError>>,
) -> Result<A, Problem> {
    let mut request = parse_json(text)?;
    if !asks_why(text) {
        *J::explain(&mut request) = false;
    }
    judge(request).map_err(|errors| ApiError::invalid(errors).into_problem())
}

/// Whether `options.explain` is true in a request that has been read already: there its absence means yes.
fn asks_why(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        options: Option<Options>,
    }
    #[derive(Deserialize)]
    struct Options {
        explain: Option<bool>,
        #[serde(flatten)]
        _others: IgnoredAny,
    }
    // Most requests do not speak of it, and looking for the word costs less than reading twice.
    let read = || serde_json::from_slice::<Asked>(text).ok()?.options?.explain;
    memmem::find(text, b"\"explain\"").is_some() && read().unwrap_or(false)
}

pub(super) fn within_limit(items: usize) -> Result<(), ApiError> {
    match items {
        1..=MOST_ITEMS => Ok(()),
        _ => Err(ApiError::invalid_field("/items", format!("must have 1 to {MOST_ITEMS} items, has {items}"))),
    }
}

/// What [`judged!`] speaks of; utoipa knows a generic type by its bare name only.
pub(super) mod stamp {
    pub(crate) use actix_web::{HttpResponse, post, web};
    pub(crate) use chassis::http::{Line, Ndjson};

    pub(crate) use super::{
        super::Score, BatchReply, BatchRequest, Recommends, ScoredReply, Served, Version, batch, judge, judged,
        recommend, stream,
    };
    pub(crate) use crate::shelf::Shelf;
}

/// Stamps the routes of a model: `judged!(one, ...)` for one whose answers are not kept, `judged!(kept, ...)` for one
/// that recommends. The documentation before each route's name is the route's own.
macro_rules! judged {
    (one, $model:ty, $request:ty, $answer:ty, $tag:literal,
        $(#[$about:meta])* $score:ident = $score_path:literal, $batch:ident = $batch_path:literal,
        $stream:ident = $stream_path:literal) => {
        $(#[$about])*
        #[utoipa::path(tag = $tag, params(Version), request_body = $request,
            responses((status = 200, body = $answer), Problems))]
        #[post($score_path)]
        pub(crate) async fn $score(
            cx: Cx,
            _caller: Caller<Score>,
            shelf: web::Data<Shelf<$model>>,
            version: Params<Version>,
            body: Body<$request>,
        ) -> Result<web::Json<$answer>, ApiError> {
            judge(&cx, &shelf, version.into_inner(), body.into_inner()).await
        }

        judged!(bulk, $model, $request, $answer, $tag,
            $batch = $batch_path, $stream = $stream_path);
    };
    (kept, $model:ty, $request:ty, $answer:ty, $tag:literal,
        $(#[$about:meta])* $score:ident = $score_path:literal, $batch:ident = $batch_path:literal,
        $stream:ident = $stream_path:literal) => {
        $(#[$about])*
        #[utoipa::path(tag = $tag, params(IdempotencyKey, Version), request_body = $request,
            responses((status = 200, body = ScoredReply<$answer>), Problems))]
        #[post($score_path)]
        pub(crate) async fn $score(
            cx: Cx,
            caller: Caller<Score>,
            key: IdempotencyKey,
            shelf: web::Data<Shelf<$model>>,
            version: Params<Version>,
            body: Body<$request>,
        ) -> Result<Answer, ApiError> {
            let asker = (&cx, &*caller, &key);
            recommend(asker, &shelf, version.into_inner(), body.into_inner()).await
        }

        judged!(bulk, $model, $request, $answer, $tag,
            $batch = $batch_path, $stream = $stream_path);
    };
    (bulk, $model:ty, $request:ty, $answer:ty, $tag:literal,
        $batch:ident = $batch_path:literal, $stream:ident = $stream_path:literal) => {
        /// Judges up to 10,000 items; a bad one has its `problem` in its place. Nothing is kept, so no idempotency key
        /// is needed. `options.explain` is off unless asked for.
        ///
        /// The whole body is bound by `http.body_limit_bytes`; with long histories, use the stream.
        #[utoipa::path(tag = $tag, params(Version),
            request_body = BatchRequest<$request>,
            responses((status = 200, body = BatchReply<$answer>), Problems))]
        #[post($batch_path)]
        pub(crate) async fn $batch(
            cx: Cx,
            _caller: Caller<Score>,
            shelf: web::Data<Shelf<$model>>,
            version: Params<Version>,
            body: Body<BatchRequest<$request>>,
        ) -> Result<web::Json<BatchReply<$answer>>, ApiError> {
            batch(&cx, &shelf, version.into_inner(), body.into_inner()).await
        }

        /// Judges a stream of requests, one JSON object per line of at most 64 KiB, answered line by line in order; a
        /// bad line is answered by `{"line", "problem"}` in its place. `options.explain` is off unless asked for. Read
        /// while you send.
        #[utoipa::path(tag = $tag, params(Version),
            request_body(content = $request, content_type = "application/x-ndjson"),
            responses((status = 200, description = "One answer per line", body = Line<$answer>,
                content_type = "application/x-ndjson"), Problems))]
        #[post($stream_path)]
        pub(crate) async fn $stream(
            cx: Cx,
            _caller: Caller<Score>,
            shelf: web::Data<Shelf<$model>>,
            version: Params<Version>,
            lines: Ndjson,
        ) -> Result<HttpResponse, ApiError> {
            stream(&cx, &shelf, version.into_inner(), lines).await
        }
    };
}
pub(crate) use judged;
